"""`./lab env`: what a shell needs for plain Pulumi."""

import argparse
import os
import shlex
import sys

from cli.lib.command import DAILY, ENV, JSON, Verb
from cli.lib.fault import Fault, SettingsFault, say
from cli.lib.terminal import print_json

VERB = Verb(
    "env",
    'what plain `pulumi` needs: eval "$(./lab env dev)"',
    group=DAILY,
    order=90,
    arguments=(ENV, JSON),
)


def run(values: argparse.Namespace) -> int:
    """`eval "$(./lab env ENV)"`: the lines a shell needs for plain Pulumi."""
    from cli.lib import backend
    from settings import docker_engine

    env: str = values.env
    place = "docker" if env == "dev" else "proxmox"
    settings = None
    try:
        settings = backend.settings_of(env)
        place = settings.common.target.kind
    except SettingsFault as fault:
        # Else `eval` would leave the shell set up for what it was before, unnoticed.
        print(fault, file=sys.stderr)
    try:
        secret = backend.passphrase(env, place)
    except Fault as fault:
        say(fault)
        secret = {}
    backend.folder(env).mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = backend.variables(env, place, secret)
    wanted |= backend.local_providers(settings, wanted) if settings else {}
    told = (
        "PULUMI_BACKEND_URL",
        *backend.PASSPHRASE,
        "PULUMI_HOME",
        "PATH",
        "ANSIBLE_HOME",
        "PULUMI_SKIP_UPDATE_CHECK",
        backend.NO_DOWNLOADS,
        *backend.store_access(env),
    )
    told += tuple(docker_engine.named().variables) if place == "docker" else ()
    lines: dict[str, str | None] = {}  # None: not to be set
    for name in (*told, *sorted(backend.unwanted(place))):
        if name in wanted:
            # The operator's own passphrase is in the shell already; printing it would show it.
            if name not in backend.PASSPHRASE or wanted[name] != os.environ.get(name):
                lines[name] = wanted[name]
        elif name in os.environ:
            lines[name] = None
    if values.json:
        print_json(lines)
        return 0
    for name, value in lines.items():
        print(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")
    return 0
