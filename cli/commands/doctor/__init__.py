"""`./lab doctor`: what this machine has and lacks, and what to do about each.

Standard library only at its top, as it runs before anything is installed.
"""

import argparse
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

from cli.commands.doctor.finding import Finding
from cli.lib.command import ENVIRONMENTS, JSON, MAYBE_ENV, START, Verb
from cli.lib.fault import Fault
from cli.lib.terminal import print_json
from toolchain import install, preconditions, pulumi_cli

if TYPE_CHECKING:
    from settings import Settings

VERB = Verb(
    "doctor",
    "what this machine has and lacks, and what to do about it",
    group=START,
    order=20,
    requirements="",
    arguments=(MAYBE_ENV, JSON),
    engine=False,
)


def run(values: argparse.Namespace) -> int:
    """Look at everything, say each finding, exit 1 where something required is missing."""
    environments = [values.env] if values.env else list(ENVIRONMENTS)
    found = []
    for finding in findings(environments, named=bool(values.env)):
        found.append(finding)
        if not values.json:
            print(finding, flush=True)
    if values.json:
        print_json([asdict(finding) for finding in found])
    return 1 if any(finding.remedy and finding.required for finding in found) else 0


def findings(environments: list[str], *, named: bool) -> Iterator[Finding]:
    """Every finding about the machine and `environments`."""
    yield python()
    yield environment()
    yield engine()
    yield from lacks()
    if not install.python_ready(install.RUN):
        return  # the rest reads the settings
    for env in environments:
        yield from settings(env, named=named)


def python() -> Finding:
    """The Python that runs this; `lab` has looked for one that is new enough."""
    return Finding(what="Python", found=platform.python_version())


def environment() -> Finding:
    """The virtual environment."""
    if install.python_ready(install.RUN):
        return Finding(what="Python packages", found=".venv holds requirements.txt")
    return Finding(
        what="Python packages",
        found=".venv is not set up",
        remedy="any other ./lab command makes it",
        required=False,
    )


def engine() -> Finding:
    """Pulumi, or what gets it."""
    found = pulumi_cli.find_pulumi()
    if found:
        host = "its own language host" if found.official_host else "the lab's language host"
        return Finding(what="Pulumi", found=f"{found.version} at {found.pulumi}, {host}")
    return Finding(
        what="Pulumi",
        found="not here yet",
        remedy="./lab rehearse gets it: its official release, else built here in about 5 minutes",
        required=False,
    )


def lacks() -> Iterator[Finding]:
    """What must be there before anything can be set up."""
    for lack in preconditions.missing(install.RUN, engine=True, programs=("git",)):
        yield Finding(what="needed first", found=lack.what, remedy=lack.remedy)


def settings(env: str, *, named: bool) -> Iterator[Finding]:
    """The settings of `env`, their links, the backend, the passphrase, and its place."""
    from cli.lib import backend
    from settings.containers import from_packages

    def look(what: str, well: str, check: Callable[[], object]) -> Finding:
        try:
            check()
        except Fault as fault:
            lines = str(fault).splitlines()
            return Finding(
                what=what, found=f"{len(lines)} fault(s)", remedy="\n         ".join(lines)
            )
        return Finding(what=what, found=well)

    load = cache(lambda: backend.settings_of(env))
    found = look(f"settings of {env}", "no faults", load)
    yield found
    links = backend.link_faults(env)
    yield Finding(
        what=f"links to Pulumi.{env}.yaml",
        found=f"{len(links)} wrong" if links else "four links",
        remedy="\n         ".join(links),
    )
    if not named:
        return  # what follows is about using it, not about this checkout
    yield look(f"backend of {env}", backend.url(env), lambda: backend.agree(env))
    if found.remedy:
        return
    checked = load()
    place = checked.common.target.kind
    yield look(f"passphrase of {env}", "set", lambda: backend.passphrase(env, place))
    made = (backend.folder(env) / ".pulumi").is_dir() or backend.marker(env).exists()
    yield Finding(
        what=f"stacks of {env}",
        found="made" if made else "not made yet",
        remedy="" if made else f"./lab init {env}",
        required=False,
    )
    yield images_from_packages() if from_packages(checked) else plugins()
    yield from names(env, checked)
    if place == "docker":
        from cli.commands.doctor import docker

        yield from docker.findings(checked)
    else:
        yield openssh()
        if made:
            yield from node(env)


def names(env: str, checked: "Settings") -> Iterator[Finding]:
    """Whether this machine knows the lab's names; where it has none, nothing.

    In `dev` with GitLab the Docker engine itself asks by one: a registry sends it to GitLab's own
    address for a token, and no image could be pushed.
    """
    from settings.names import addresses

    wanted = addresses(checked)
    wrong = []
    for name, address in wanted.items():
        try:
            known = socket.gethostbyname(name)
        except OSError:
            known = ""
        if known != address:
            wrong.append(name)
    if wanted:
        yield Finding(
            what=f"names of {env}",
            found=f"{len(wrong)} of {len(wanted)} unknown here" if wrong else "known",
            remedy=f"./lab hosts {env} --install" if wrong else "",
            required=checked.common.target.kind == "docker",
        )


def openssh() -> Finding:
    """What Ansible and the first contact with a machine need here."""
    missing = [tool for tool in ("ssh", "ssh-agent", "ssh-keyscan") if shutil.which(tool) is None]
    return Finding(
        what="OpenSSH",
        found=f"missing: {', '.join(missing)}" if missing else "ssh, ssh-agent, ssh-keyscan",
        remedy="apt install openssh-client" if missing else "",
    )


def node(env: str) -> Iterator[Finding]:
    """The Proxmox node, asked with the environment's own token."""
    from cli.commands.doctor.node import findings as of_node
    from cli.commands.doctor.node import somebody_answers
    from cli.lib import backend

    try:
        engine, settings = backend.prepare(env)
        token = engine.capture(
            "config", "get", backend.TOKEN_KEY, "-s", f"{env}-foundation"
        ).strip()
    except Fault as fault:
        yield Finding(what="Proxmox token", found="not to be had", remedy=str(fault))
        return
    yield from of_node(settings, token, taken=somebody_answers)


def images_from_packages() -> Finding:
    """What makes the images, where no registry has them; its providers need no download."""
    from cli.lib.packaged.choose import lacks

    missing = "; ".join(lacks())
    found = "cannot be made" if missing else "can be made"
    return Finding(what="images from packages", found=found, remedy=missing)


def plugins() -> Finding:
    """The official provider plugins; `up` downloads what is missing."""
    from cli.lib.reach import missing_plugins

    missing = missing_plugins(os.environ)
    return Finding(
        what="provider plugins",
        found=f"missing: {', '.join(missing)}" if missing else "all there",
        remedy="the first `up` downloads them, about 1 GB" if missing else "",
        required=False,
    )
