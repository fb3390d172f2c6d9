"""What `./lab doctor dev` says of the Docker engine: which, whether it answers, what it has."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from cli.commands.doctor.finding import Finding
from settings import Settings, docker_engine
from settings.names import ROWS, endpoints

INSTALL = "Debian and Ubuntu: apt install docker.io, then add yourself to the group docker"
ANSWER_S = 20
# macOS's own; people's first port in the way.
AIRPLAY = {5000, 7000}


def findings(checked: Settings) -> Iterator[Finding]:
    """The engine that `dev` runs on, and its ports, memory and cores against the settings."""
    named = docker_engine.named()
    where = f"{named.host} ({named.source})"
    if named.refusal:
        yield Finding(what="Docker engine", found=where, remedy=named.refusal)
        return
    env = {**os.environ, **named.variables}
    try:
        told, said = ask(["info", "--format", "{{json .}}"], env)
    except FileNotFoundError:
        yield Finding(what="Docker engine", found="no docker command", remedy=INSTALL)
        return
    except subprocess.TimeoutExpired:
        told, said = "", f"no answer in {ANSWER_S} s"
    facts: dict[str, Any] = json.loads(told) if told.startswith("{") else {}
    if not facts.get("ServerVersion"):
        said = (facts.get("ServerErrors") or [said or "no answer"])[-1]
        remedy = f"start it (systemctl start docker), or set DOCKER_HOST. {INSTALL}"
        yield Finding(what="Docker engine", found=f"{where}: {said}", remedy=remedy)
        return
    yield Finding(what="Docker engine", found=f"{facts['ServerVersion']} at {where}")
    yield from fits(facts, checked)
    containers, _ = ask(["ps", "--format", "{{.Names}} {{.Ports}}"], env)
    yield ports(checked, containers)


def ask(words: list[str], env: Mapping[str, str]) -> tuple[str, str]:
    """What docker says, and the last line of its errors."""
    answer = subprocess.run(
        ["docker", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=ANSWER_S,
        env=dict(env),
    )
    return answer.stdout.strip(), (answer.stderr.strip().splitlines() or [""])[-1]


def fits(facts: Mapping[str, Any], checked: Settings) -> Iterator[Finding]:
    """The engine's memory and cores against the settings; what a rootless one cannot do."""
    wanted, key = checked.common.target, "datalab:common.target"
    if wanted.kind != "docker":
        return
    memory, cores = int(facts.get("MemTotal", 0)) >> 20, int(facts.get("NCPU", 0))
    more = f"give the engine more, or lower {key}.memory_mib: ./lab budget dev says what then fits"
    yield Finding(
        what="engine's memory",
        found=f"{memory} MiB, {wanted.memory_mib} planned",
        remedy=more if memory < wanted.memory_mib else "",
        required=False,  # limits are no reservations
    )
    yield Finding(
        what="engine's cores",
        found=f"{cores}, {wanted.cores} in the settings",
        remedy=f"set {key}.cores to {cores}" if cores < wanted.cores else "",
        required=False,
    )
    if facts.get("MemoryLimit") is False:
        yield Finding(
            what="engine's limits",
            found="it cannot limit the memory of containers",
            remedy="a rootless engine: delegate cgroup v2's controllers to your user "
            "(https://docs.docker.com/engine/security/rootless/)",
        )


def ports(checked: Settings, containers: str) -> Finding:
    """Ports that the lab publishes here and another program has; `containers` is docker's list."""
    own = {
        int(port)
        for line in containers.splitlines()
        if line.startswith("datalab-")
        for port in re.findall(r":(\d+)->", line)
    }
    wanted = {
        (str(to.address), to.port): ROWS[name]
        for name, to in endpoints(checked).items()
        if ROWS[name].published(docker=True)
    }
    busy = {
        port: row.port_key
        for (address, port), row in wanted.items()
        if port not in own and taken(address, port)
    }
    remedy = "; ".join(f"set datalab:{key} to another" for key in busy.values())
    if sys.platform == "darwin" and AIRPLAY & busy.keys():
        remedy += "; or switch the AirPlay Receiver off (System Settings, AirDrop & Handoff)"
    return Finding(
        what="ports",
        found=f"taken by another program: {', '.join(map(str, busy))}" if busy else "free",
        remedy=remedy,
    )


def taken(address: str, port: int) -> bool:
    """Whether another program listens there."""
    with socket.socket() as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            end.bind((address, port))
        except PermissionError:
            return False  # below 1024, which the engine may take
        except OSError:
            return True
    return False
