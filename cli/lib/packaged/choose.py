"""`./lab up dev --from-packages`: what the settings need for it, and what it will be like."""

import os
import shutil
from collections.abc import Iterator

from cli.lib import ask, backend, stackfile
from cli.lib.fault import Fault, say
from cli.lib.packaged.build import needed
from layers import LAYERS
from settings import PROJECT, Settings
from settings.containers import from_packages
from settings.packaged import PREFIX

TARGET = "common.target.images"
# Vault builds in ten minutes, OpenBao is on PyPI: Vault only where the settings say so.
ENGINE = "foundation.vault.engine"
# Programs that make the images, and the Debian packages that have them.
TOOLS = {"debootstrap": "debootstrap", "docker": "docker.io", "mvn": "maven"}


def choose(env: str, *, yes: bool) -> Settings:
    """Write it into the settings file, where it is not there yet; Fault where it cannot work here.

    All other verbs, and plain Pulumi, find it there.
    """
    settings = backend.checked(env)
    if settings.common.target.kind != "docker":
        raise Fault(f"--from-packages is for a Docker engine, and {env} is on Proxmox VE", 2)
    if lacking := list(lacks()):
        raise Fault("\n     ".join(lacking))
    if from_packages(settings):
        return settings
    engine, _ = backend.prepare(env)
    known = engine.stacks()
    if any(known.get(f"{env}-{layer}") for layer in LAYERS):
        raise Fault(
            f"{env} is up by the official plugins, whose state the local providers cannot read: "
            f"./lab down {env} --data first"
        )
    file = backend.stack_file(env)
    text = stackfile.read(file)
    there = stackfile.parsed(text)["config"]
    wanted = {TARGET: "packages"}
    if "engine" not in _section(there, "foundation", "vault"):
        wanted[ENGINE] = "openbao"
    lines = " and ".join(f"{key}: {value}" for key, value in wanted.items())
    if not ask.confirmed(f"Write {lines} into {file.name}?", yes=yes):
        raise Fault(f"not confirmed; --from-packages needs {lines} in {file.name}")
    for key, value in wanted.items():
        text = stackfile.with_value(text, ["config", *f"{PROJECT}:{key}".split(".")], value)
    stackfile.write(file, text)
    say(f"{file.name} has {lines} now; without that the vendors' images are taken again")
    return backend.checked(env)


def _section(config: dict[str, object], layer: str, name: str) -> dict[str, object]:
    found = config.get(f"{PROJECT}:{layer}", config.get(layer))
    part = found.get(name) if isinstance(found, dict) else None
    return part if isinstance(part, dict) else {}


def lacks() -> Iterator[str]:
    """What this machine needs for it and lacks, each with what to do."""
    if os.geteuid():
        yield "images from packages are made as root (debootstrap): run it with sudo"
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        yield f"images from packages need {', '.join(missing)}: apt install {' '.join(missing)}"


def tell(settings: Settings) -> None:
    """Say what is made here, and what stands in for what cannot be made."""
    images = needed(settings)
    made = [contract.name for contract in images if not contract.stands_in]
    say(f"made from packages, as {PREFIX}/NAME: {', '.join(sorted(made))}")
    for contract in images:
        if contract.stands_in:
            say(f"stands in for {', '.join(contract.of)}: {contract.stands_in}")
    say("local providers act on the real servers; Docker's is the real provider, built from source")
    say("left out: GitLab, its runner and its project, which no registry of packages has")


def remaining(settings: Settings) -> None:
    """Say what `down --data` leaves in the engine: images, which the next `up` need not make."""
    if from_packages(settings):
        say(
            f"images stay in the engine; to remove them: docker image rm "
            f"$(docker image ls -q {PREFIX}/* datalab/*)"
        )
