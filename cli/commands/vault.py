"""`./lab vault keys`: the unseal key, so that a person can keep a copy elsewhere."""

import argparse
import os
import shlex
import subprocess

from cli.lib.command import ENV, JSON, REPAIR, Verb, action
from cli.lib.fault import Fault
from cli.lib.pulumi import Engine
from cli.lib.terminal import print_json

VERB = Verb(
    "vault",
    "keys: show Vault's unseal key, to keep a copy elsewhere",
    group=REPAIR,
    order=30,
    arguments=(
        action("keys"),
        ENV,
        JSON,
    ),
)

KEY = "/var/lib/vault/unseal-key"
ROLES = "vault-roles"


def run(values: argparse.Namespace) -> int:
    """Print the unseal key of the environment's Vault; it is a secret, so only on request."""
    from cli.lib.backend import prepare

    engine, settings = prepare(values.env)
    if settings.foundation.vault.unseal == "manual":
        raise Fault("vault.unseal is manual: the keys are with the person who initialised Vault")
    local = settings.common.target.kind == "docker"
    key = _of_container() if local else _of_machine(engine, f"{values.env}-foundation")
    if values.json:
        print_json({"unseal_key": key})
    else:
        print(key)
    return 0


def _of_container() -> str:
    from settings.containers import docker_name

    container = docker_name("vault")
    command = ["docker", "exec", container, "cat", KEY]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Fault(
            f"there is no docker command here to run {shlex.join(command)}: "
            "Debian and Ubuntu: apt install docker.io"
        ) from None
    if done.returncode:
        raise Fault(f"docker exec {container} cat {KEY}: {done.stderr.strip()}")
    return done.stdout.strip()


def _of_machine(engine: Engine, stack: str) -> str:
    """Over SSH, with the key and the host key of the state."""
    from cli.lib.ansible import runs
    from targets.ansible import ADHOC, ENVIRONMENT

    run = next((run for run in runs(engine, stack) if run.name == ROLES), None)
    if run is None:
        raise Fault(f"{stack} has no Vault yet: run ./lab up {stack.replace('-', ' ')} first")
    done = subprocess.run(
        [*ADHOC.split(), f"cat {KEY}"],
        input=run.job,
        cwd=engine.folder,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Fault(f"the machine did not tell: {done.stdout.strip() or done.stderr.strip()}")
    return done.stdout.partition(">>")[2].strip()
