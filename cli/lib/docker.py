"""Docker's own command: its client certificate, and what it says of a stack's engine."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cli.lib.backend import DOCKER_CONTEXT
from cli.lib.fault import Fault, say
from cli.lib.pulumi import Engine, visible
from settings import docker_engine
from toolchain import files
from toolchain.private import private_folder

TIMEOUT_S = 60
# How long a container that somebody has just restarted may take to its first health check.
SETTLE_S = 120
CONTAINER = "docker:index/container:Container"
PROVIDER = "pulumi:providers:docker"
PEMS = ("ca", "cert", "key")  # parts of the provider's client certificate, and docker's files


@contextmanager
def client_certificate(pems: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The variables for docker while its files are there; none where all texts are empty.

    pems maps ca.pem, cert.pem and key.pem to their texts.
    """
    with private_folder() as folder:
        variables = {}
        for file, text in pems.items():
            if text:
                files.replace(folder / file, text.encode(), 0o600)
                variables = {"DOCKER_CERT_PATH": str(folder), "DOCKER_TLS_VERIFY": "1"}
        yield variables


@contextmanager
def connection(provider: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The environment in which docker asks the engine of a provider with these inputs, in clear."""
    env = {name: value for name, value in os.environ.items() if name != DOCKER_CONTEXT}
    own = {"DOCKER_HOST": str(provider["host"])} if provider.get("host") else {}
    env |= own or docker_engine.named().variables
    pems = {f"{part}.pem": str(provider.get(f"{part}Material") or "") for part in PEMS}
    with client_certificate(pems) as variables:
        yield env | variables


def ask(
    what: str, words: Sequence[str], env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run docker; Fault, naming what was asked about, where there is no answer."""
    try:
        return subprocess.run(
            ["docker", *words],
            capture_output=True,
            text=True,
            check=False,
            env=dict(env),
            timeout=TIMEOUT_S,
        )
    except FileNotFoundError:
        raise Fault(
            f"the docker command is needed to look for {what}: apt install docker.io"
        ) from None
    except subprocess.TimeoutExpired:
        raise Fault(f"the Docker engine did not answer within {TIMEOUT_S} s about {what}") from None


def find(kind: str, name: str, provider: Mapping[str, Any]) -> str | None:
    """The engine's id of a container or network; None where it has none of that name."""
    noun = "network" if kind.endswith(":Network") else "container"
    with connection(provider) as env:
        answer = ask(f"{noun} {name}", [noun, "inspect", "--format", "{{.Id}}", name], env)
    if answer.returncode == 0:
        return answer.stdout.strip()
    if "No such" in answer.stderr or "not found" in answer.stderr:
        return None
    raise Fault(f"cannot ask the Docker engine about {noun} {name}: {answer.stderr.strip()}")


def require_health(engine: Engine, stack: str) -> None:
    """Fault naming every container of `stack` that is not healthy.

    The provider waits for the health of what it makes. When that does not come, `up` fails, but
    the next one has nothing left to change and would succeed.
    """
    resources = engine.resources(stack, "--show-secrets")
    names = sorted(str(r["inputs"]["name"]) for r in resources if r["type"] == CONTAINER)
    if not names:
        return
    provider = next(r for r in resources if r["type"] == PROVIDER)["inputs"]
    try:
        with connection(dict(visible(provider))) as env:
            end = time.monotonic() + SETTLE_S
            while "starting" in (found := states(names, env)).values() and time.monotonic() < end:
                time.sleep(2)
    except Fault as fault:
        say(f"{stack}: are its containers healthy? {fault}")
        return
    if sick := {name: state for name, state in found.items() if state != "healthy"}:
        lines = [f"{name} is {state}: docker logs {name}" for name, state in sick.items()]
        raise Fault(f"{stack} is up, but not all of it works:\n" + "\n".join(lines))


def states(names: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
    """Container -> its health, or how it ended or where it is instead."""
    answer = ask("containers", ["container", "inspect", *names], env)
    if answer.returncode and "No such" not in answer.stderr:
        raise Fault(answer.stderr.strip())
    found = dict.fromkeys(names, "missing")
    for row in json.loads(answer.stdout):
        state = row["State"]
        running = state["Status"] == "running"
        found[row["Name"].removeprefix("/")] = (state["Health"] if running else state)["Status"]
    return found
