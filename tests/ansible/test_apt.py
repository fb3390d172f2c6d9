"""A machine that has just booted updates itself, and has apt's locks for minutes meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.ansible.conftest import Lab, play
from tests.harness.process import wait_for

pytestmark = pytest.mark.service
LISTS = "/var/lib/apt/lists/lock"
ARCHIVES = "/var/cache/apt/archives/lock"
# As apt takes them: with fcntl, and flock would be another lock.
HOLDER = """
import fcntl, sys, time
held = [open(path, "w") for path in sys.argv[1:]]
for file in held:
    fcntl.lockf(file, fcntl.LOCK_EX)
open("/run/held", "w")
time.sleep(600)
"""


@contextmanager
def held(lab: Lab, *paths: str) -> Iterator[None]:
    """Another process has these locks until the block ends."""
    run = lab.machine.run
    (lab.machine.root / "opt/holder.py").write_text(HOLDER)
    run("rm -f /run/held")
    run(f"systemd-run --quiet --collect --unit=holder python3 /opt/holder.py {' '.join(paths)}")
    try:
        wait_for(lambda: run("ls /run").split().count("held") == 1, what="the locks")
        yield
    finally:
        run("systemctl stop holder 2>/dev/null || true")


# What runs apt in any role: both are used by role common.
INDEX: dict[str, Any] = {
    "apply_name": "index",
    "apply_files": ["/etc/apt/sources.list"],
    "apply_command": ["apt-get", "update"],
}
UPGRADES = {"apt_packages": ["unattended-upgrades"]}


@pytest.mark.parametrize(
    ("needs", "lock", "role", "variables"),
    [
        # As a machine's image comes: the first task. What needs it goes with it.
        ("apt-get purge -q -y python3-apt", LISTS, "apt", UPGRADES),
        ("rm -f /var/lib/datalab/index.applied", LISTS, "apply", INDEX),
        ("apt-get purge -q -y unattended-upgrades", ARCHIVES, "apt", UPGRADES),
    ],
)
def test_a_lock_of_another_program_is_waited_for(
    lab: Lab, needs: str, lock: str, role: str, variables: dict[str, Any]
) -> None:
    """`apt-get update` failed at once: DPkg::Lock::Timeout is about dpkg's lock only."""
    run = lab.machine.run
    run(f"{needs} && apt-get clean")
    with held(lab, lock):
        job = lab.machine.job([role], variables)
        failed = play(job, "--extra-vars", "machine_apt_tries=0")
        assert failed.code != 0
        assert f"Could not get lock {lock}. It is held by process" in failed.output
        retries = []

        def let_go(line: str) -> None:
            if "RETRYING" in line:
                retries.append(line)
                run("systemctl stop holder 2>/dev/null || true")

        lab.apply([role], variables, said=let_go)
    assert retries
    run("dpkg -s python3-apt unattended-upgrades")
    assert role != "apply" or run("cat /var/lib/datalab/index.applied")


# A package that takes long to set up, and dpkg killed meanwhile, as by a loss of power.
KILLED = r"""
mkdir -p /tmp/slow/DEBIAN
printf 'Package: slow\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n' \
  >/tmp/slow/DEBIAN/control
cd /tmp/slow/DEBIAN
printf '#!/bin/sh\n[ -e /run/again ] || { touch /run/again; sleep 60; }\n' >postinst
chmod 755 postinst
dpkg-deb -b /tmp/slow /tmp/slow.deb
rm -f /run/again
systemd-run --quiet --collect --unit=slow dpkg -i /tmp/slow.deb
until [ -e /run/again ]; do sleep 0.1; done
systemctl kill --signal=KILL slow
"""


def test_an_installation_that_was_interrupted_is_finished(lab: Lab) -> None:
    """apt refused all until a person ran dpkg: a server killed in its first start stayed so."""
    run = lab.machine.run
    run(KILLED)
    refused = run("apt-get install -y tzdata 2>&1 || true")
    assert "you must manually run 'dpkg --configure -a'" in refused
    lab.apply(["apt"], {"apt_packages": ["hello"]})
    run("hello && apt-get purge -q -y hello")
    assert "install ok installed" in run("dpkg -s slow")


def test_what_is_wrong_otherwise_is_not_waited_for(lab: Lab) -> None:
    source = "/etc/apt/sources.list.d/broken.list"
    lab.machine.run(f"echo 'deb nonsense' >{source}; rm -f /var/lib/datalab/index.applied")
    try:
        failed = play(lab.machine.job(["apply"], INDEX))
    finally:
        lab.machine.run(f"rm {source}")
    assert failed.code != 0
    assert "RETRYING" not in failed.output
    lab.apply(["apply"], INDEX)
