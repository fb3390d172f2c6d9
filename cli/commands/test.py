"""`./lab test`: installs what the tests need and runs pytest, whose summary comes last."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from cli.lib.command import CI, Verb, arg, one_of
from cli.lib.fault import Fault
from cli.lib.pulumi import wait
from toolchain import install, obtain, progress, pulumi_cli

TIERS = ("lint", "unit", "engine", "service")
QUICK = "quick"  # the tests of lint and unit that take no root and little time
VERB = Verb(
    "test",
    "run the tests; installs what they need",
    group=CI,
    order=30,
    requirements=install.TESTS,
    passes_on=True,
    arguments=(
        arg(
            "tiers",
            metavar="TIER",
            type=one_of("tier", (QUICK, *TIERS)),
            nargs="*",
            help=f"{', '.join(TIERS)}, or {QUICK}, a minute's worth; default: all tiers",
        ),
        arg("--long", action="store_true", help="also whole sweeps, which take hours"),
    ),
)

MOST_WORKERS = 4
# Half of the time of engine and service goes into waiting for servers.
WORKERS_PER_CORE = 2
# Each may run mypy, the engine, or a server with its data: about 1 GiB.
WORKER_MIB = 1024
# The limit of the container that this runs in, such as a CI job's: cgroup version 2, version 1.
LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
PACKAGES = install.ROOT / "tests" / "packages.txt"


def run(values: argparse.Namespace) -> int:
    """Run the chosen tiers; the exit code is pytest's, where no test at all is a failure."""
    tiers = values.tiers or list(TIERS)
    marks = " or ".join(tier for tier in tiers if tier != QUICK)
    if QUICK in tiers:
        if tiers != [QUICK] or values.long:
            raise Fault(f"{QUICK} goes alone: ./lab test {QUICK}", 2)
        marks = "(lint or unit) and not slow and not long"
    else:
        install_packages(tiers)
        if not values.long:
            marks = f"({marks}) and not long"
    cores = (os.cpu_count() or 1) * (WORKERS_PER_CORE if {"engine", "service"} & set(tiers) else 1)
    workers = min(cores, MOST_WORKERS, memory_mib() // WORKER_MIB or 1)
    together = ["-n", str(workers), "--dist", "loadscope"] if workers > 1 else []
    slowest = ["--durations=25", "--durations-min=0.1"]
    command = [sys.executable, "-m", "pytest", "-m", marks, *slowest, *together, *values.extra]
    variables = pulumi_cli.environment(obtain.ensure_pulumi())
    # Hundreds of programs are started, each a tenth slower where no bytecode of ours is kept.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return wait(command, install.ROOT, variables)


def memory_mib() -> int:
    """Memory of this machine, or the limit of the container that this runs in."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    texts = [file.read_text(encoding="ascii").strip() for file in LIMITS if file.is_file()]
    sizes += [int(text) for text in texts if text != "max"]
    return min(sizes) >> 20


def wanted(tiers: Iterable[str]) -> list[str]:
    """Debian packages that the tiers need, from tests/packages.txt."""
    found = []
    for line in PACKAGES.read_text(encoding="utf-8").splitlines():
        name, *users = line.partition("#")[0].split() or [""]
        if name and set(users) & set(tiers):
            found.append(name)
    return found


def missing(packages: Iterable[str]) -> list[str]:
    """Those that are not installed; all of them where this is no Debian."""
    if shutil.which("dpkg-query") is None:
        return list(packages)
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    installed = {
        line.split()[0] for line in answer.stdout.splitlines() if line.endswith(" installed")
    }
    return [name for name in packages if name not in installed]


def install_packages(tiers: Iterable[str]) -> None:
    """Install what is missing with apt-get as root; Fault with the command to type otherwise."""
    lacking = missing(wanted(tiers))
    if not lacking:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *lacking]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Fault(f"the tests need packages of this system; as root: {' '.join(command)}")
    # In runlevel 1 a package's server is not started: the tests start their own, on loopback.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    log = install.cache_folder() / "log" / "apt.log"
    try:
        progress.run("lists of Debian packages", ["apt-get", "update"], log=log, env=env)
        progress.run(
            f"Debian packages {' '.join(lacking)}",
            command,
            log=log,
            counted="^Setting up",
            env=env,
        )
    except progress.CommandError as error:
        raise Fault(str(error)) from None
