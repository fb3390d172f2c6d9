"""The node and its machines: load, memory and disk, and when their backups last ended."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.commands.doctor.node import Unreachable, api
from cli.commands.status.report import UNKNOWN, Backup, Host, Report
from cli.lib import ssh
from cli.lib.fault import Fault
from cli.lib.remote import Remote
from settings import Settings
from settings.budget import machines
from settings.machines import Machine
from settings.target import ProxmoxTarget

ANSWER_S = 4.0
DISK_FULL = 0.85
# The role `timer` of each (roles vault and gitlab); a night without one is too many.
BACKUPS = {"vault": "vault-snapshot", "gitlab": "gitlab-backup"}
LATE = timedelta(hours=26)
# One line of JSON; in an LXC these are its own figures (lxcfs), but for the load.
ASK = """\
set -- $(cat /proc/loadavg /proc/uptime) $(df --block-size=1 --output=used,size / | tail -1) \
$(awk '/^MemTotal:|^MemAvailable:/ {print $2}' /proc/meminfo) $(nproc); \
printf '{"load": %s, "up": %s, "disk": [%s, %s], "memory": [%s, %s], "cores": %s}\\n' \
"$1" "$6" "$8" "$9" "${10}" "${11}" "${12}"; """
UNIT = (
    "systemctl show --timestamp=unix --property=Result,ExecMainExitTimestamp {name}.service; "
    "systemctl show --timestamp=unix --property=ActiveEnterTimestamp {name}.timer"
)


def add(report: Report, settings: Settings, remote: Remote) -> None:
    """Add the node, its machines and their backups to the report."""
    target = settings.common.target
    if target.kind != "proxmox":
        return
    ours = [(key.split(".")[1], machine) for key, machine in machines(settings)]
    with ThreadPoolExecutor() as pool:
        node = pool.submit(_node, target, remote.token)
        asked = [(name, one, pool.submit(_ask, name, one, remote)) for name, one in ours]
        try:
            host, guests = node.result()
            report.machines.append(host)
        except Unreachable as error:
            guests = {}
            report.unreached.append(f"the node's API: {str(error).partition(' | ')[0]}")
        for name, machine, told in asked:
            guest = guests.get(machine.id)
            try:
                facts, backup = told.result()
            except Fault as fault:
                facts, backup = {}, None
                if guest is None or guest.get("status") == "running":
                    report.unreached.append(f"machine {name}: {fault}")
            report.machines.append(_host(name, machine, facts, guest))
            report.backups += [backup] if backup else []


def _node(node: ProxmoxTarget, token: str) -> tuple[Host, Mapping[int, Mapping[str, Any]]]:
    """The node, and what it says of its guests, by id."""
    get = api(node, token, ANSWER_S)
    told = get(f"nodes/{node.node}/status")
    guests = {int(row["vmid"]): row for row in get("cluster/resources?type=vm")}
    host = Host(
        name=node.node,
        address=str(node.endpoint),
        state="running",
        load=float(told["loadavg"][0]),
        cores=int(told["cpuinfo"]["cpus"]),
        memory=told["memory"]["used"],
        memory_size=told["memory"]["total"],
        disk=told["rootfs"]["used"],
        disk_size=told["rootfs"]["total"],
        # PVE::API2::Nodes gives it, its schema only allows for it.
        since=datetime.now(UTC) - timedelta(seconds=int(told["uptime"]))
        if "uptime" in told
        else None,
        problem=_full(told["rootfs"]["used"], told["rootfs"]["total"]),
    )
    return host, guests


def _ask(name: str, machine: Machine, remote: Remote) -> tuple[Mapping[str, Any], Backup | None]:
    """What a machine says of itself, and of its backup where it takes one."""
    job = remote.jobs.get(str(machine.address))
    if job is None:
        raise Fault("it is not up yet")
    unit = BACKUPS.get(name)
    told = ssh.run(job, ASK + (UNIT.format(name=unit) if unit else ""), ANSWER_S)
    first, _, rest = told.partition("\n")
    return json.loads(first), backup(name, rest) if unit else None


def backup(name: str, told: str, now: datetime | None = None) -> Backup:
    """A backup, from what systemd says of its unit and timer."""
    values = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    ended = _unix(values.get("ExecMainExitTimestamp", ""))
    armed = _unix(values.get("ActiveEnterTimestamp", ""))
    now = now or datetime.now(UTC)
    problem = ""
    if values.get("Result") not in ("success", None):
        problem = f"failed ({values['Result']}): ./lab logs {name} lab"
    elif (last := ended or armed) and now - last > LATE:
        problem = f"is older than {LATE.total_seconds() / 3600:.0f} h: ./lab logs {name} lab"
    return Backup(of=name, ended=ended, problem=problem)


def _unix(text: str) -> datetime | None:
    """A moment as systemd writes it, @SECONDS; empty or 0 for never."""
    seconds = text.removeprefix("@")
    if not seconds.isdecimal() or not int(seconds):
        return None
    return datetime.fromtimestamp(int(seconds), UTC)


def _full(used: int, size: int) -> str:
    share = used / size if size else 0
    return f"has a disk that is {100 * share:.0f} % full" if share > DISK_FULL else ""


def _host(
    name: str, machine: Machine, facts: Mapping[str, Any], guest: Mapping[str, Any] | None
) -> Host:
    """A machine: by itself, else by what the node says of it."""
    state = str(guest.get("status", UNKNOWN)) if guest else "running" if facts else UNKNOWN
    problem = "" if state in ("running", UNKNOWN) else f"is {state}: start it on the node"
    if not facts:
        return Host(
            name=name,
            address=str(machine.address),
            state=state,
            cores=machine.cores,
            memory=guest.get("mem") if guest else None,
            memory_size=guest.get("maxmem") if guest else machine.memory_mib << 20,
            # PVE sees into the disk of an LXC only, and says 0 of a VM's.
            disk=guest.get("disk") or None if guest else None,
            disk_size=guest.get("maxdisk") if guest else machine.disk_gib << 30,
            problem=problem,
        )
    (used, size), (total, free) = facts["disk"], facts["memory"]
    return Host(
        name=name,
        address=str(machine.address),
        state=state,
        load=facts["load"],
        cores=facts["cores"],
        memory=(total - free) << 10,
        memory_size=total << 10,
        disk=used,
        disk_size=size,
        since=datetime.now(UTC) - timedelta(seconds=facts["up"]),
        problem=problem or _full(used, size),
    )
