"""Logs in at a machine as Ansible does: with the key and the host keys of the state."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cli.lib.fault import Fault
from toolchain import files
from toolchain.private import private_folder

CONNECT_S = 3


@contextmanager
def login(job: Mapping[str, Any]) -> Iterator[list[str]]:
    """The command that logs in at the machine of a run of Ansible; its files go with the block."""
    address, port = str(job["address"]), int(job["port"])
    name = address if port == 22 else f"[{address}]:{port}"
    with private_folder() as folder:
        key, known = folder / "key", folder / "known_hosts"
        files.replace(key, str(job["private_key"]).encode(), 0o600)
        lines = "".join(f"{name} {line}\n" for line in str(job["host_keys"]).splitlines())
        files.replace(known, lines.encode(), 0o600)
        yield [
            *("ssh", "-F", "none", "-i", str(key), "-o", "IdentitiesOnly=yes"),
            *("-o", f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=/dev/null"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"),
            *("-o", f"ConnectTimeout={CONNECT_S}", "-p", str(port), f"{job['user']}@{address}"),
        ]


def run(job: Mapping[str, Any], command: str, timeout_s: float) -> str:
    """Standard output of a shell command at the machine; Fault where there is none."""
    try:
        with login(job) as words:
            done = subprocess.run(
                [*words, command],
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=timeout_s,
            )
    except FileNotFoundError:
        raise Fault("there is no ssh here: apt install openssh-client") from None
    except subprocess.TimeoutExpired:
        raise Fault(f"ssh {job['user']}@{job['address']}: no answer in {timeout_s:g} s") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise Fault(f"ssh {job['user']}@{job['address']}: {said}")
    return done.stdout
