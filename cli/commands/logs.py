"""`./lab logs`: what a service has written."""

import argparse
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cli.lib.command import DAILY, ONLY_ENV, Verb, arg, positive
from cli.lib.fault import Fault

if TYPE_CHECKING:
    from settings import Settings
    from settings.service import Service

VERB = Verb(
    "logs",
    "what a service has written: its container's log, or the journal of its machine",
    group=DAILY,
    order=6,
    arguments=(
        arg("service", metavar="SERVICE", help="as ./lab status names it"),
        ONLY_ENV,
        arg("--follow", action="store_true", help="also what it writes from now on"),
        arg("--lines", metavar="N", type=positive, default=200, help="how many of the last; 200"),
    ),
    engine=False,
)


def run(values: argparse.Namespace) -> int:
    """Print it; exit 1 where there is no such container, or where nobody could be asked."""
    from cli.commands.status.services import find
    from cli.lib import backend

    env = backend.only_one(values.env)
    settings = backend.settings_of(env)
    service, container = find(settings, values.service)
    follow = ["--follow"] if values.follow else []
    if container:
        words = ["logs", "--tail", str(values.lines), *follow, container]
        return of_container(env, settings, words)
    return of_machine(env, settings, service, ["-n", str(values.lines), *follow])


def of_container(env: str, settings: "Settings", words: Sequence[str]) -> int:
    """Run docker against the engine that has the lab's containers."""
    import os

    from cli.lib import docker, remote
    from settings import docker_engine

    if settings.common.target.kind == "docker":
        return _pass_on(["docker", *words], os.environ | docker_engine.named().variables)
    access = remote.read(env, settings).docker
    if access is None:
        raise Fault(f"{env} has no Docker host yet: run ./lab up {env} first")
    with docker.connection(access) as variables:
        return _pass_on(["docker", *words], variables)


def of_machine(env: str, settings: "Settings", service: "Service", words: Sequence[str]) -> int:
    """The journal of a machine, which has this service alone."""
    from cli.lib import remote, ssh
    from settings.names import endpoints

    address = str(endpoints(settings)[service.name].address)
    job = remote.read(env, settings).jobs.get(address)
    if job is None:
        raise Fault(f"{service.name} is not up yet: run ./lab up {env} first")
    root = [] if job["user"] == "root" else ["sudo", "-n"]
    with ssh.login(job) as login:
        return _pass_on([*login, *root, "journalctl", "--no-pager", *words], None)


def _pass_on(command: Sequence[str], variables: Mapping[str, str] | None) -> int:
    """Run with the terminal's own output; its exit code, 0 where Ctrl-C ended what followed."""
    try:
        return subprocess.run(list(command), env=variables, check=False).returncode
    except FileNotFoundError:
        raise Fault(f"there is no {command[0]} here; ./lab doctor says what to install") from None
    except KeyboardInterrupt:
        return 0
