"""The Proxmox part of `./lab doctor lab`: whether the node can carry the lab. It only reads."""

import socket
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

import httpx

from cli.commands.doctor.finding import Finding
from cli.commands.doctor.privileges import privileges
from cli.lib import http
from settings import Settings
from settings.budget import Budget, budget, machines
from settings.names import endpoints
from settings.target import PciDevice, ProxmoxTarget

GIB = 1024**3
TIMEOUT_S = 10
# download-url for `import` and disks from it came with 8.4 (Proxmox VE's release notes).
OLDEST = (8, 4)
Get = Callable[[str], Any]


class Unreachable(Exception):
    """The node's API did not answer; the text says why and what to do."""


def findings(
    settings: Settings, token: str, *, taken: Callable[[IPv4Address], bool]
) -> Iterator[Finding]:
    """Every finding about the node; `taken` says whether somebody answers at an address."""
    node = settings.common.target
    if node.kind != "proxmox":
        return
    get, planned = api(node, token), budget(settings)
    try:
        version = str(get("version")["version"])
        yield _version(version)
        ours = [machine for _, machine in machines(settings)]
        yield privileges(node, ours, version, token, get("access/permissions"))
        guests = get("cluster/resources?type=vm")
        yield from _storages(planned, node, guests, get(f"nodes/{node.node}/storage"))
        yield from _owners(settings, planned, guests, taken)
        rows = get(f"nodes/{node.node}/network")
        for bridge in sorted({nic.bridge for machine in ours for nic in machine.nics(node)}):
            yield _bridge(bridge, rows)
        yield _memory(planned, node, guests, get(f"nodes/{node.node}/status"))
        if node.pci:
            # Without the blacklist, which hides bridges and memory controllers of the same group.
            devices = get(f"nodes/{node.node}/hardware/pci?pci-class-blacklist=")
            for name, device in node.pci.items():
                yield _device(name, device, devices)
    except Unreachable as reason:
        found, _, remedy = str(reason).partition(" | ")
        yield Finding(what=f"API of {node.endpoint}", found=found, remedy=remedy)


def api(node: ProxmoxTarget, token: str, timeout_s: float = TIMEOUT_S) -> Get:
    """What asks the node's API for a path; it raises Unreachable."""
    client = http.client(
        base_url=f"{str(node.endpoint).rstrip('/')}/api2/json/",
        headers={"Authorization": f"PVEAPIToken={token}"},
        timeout=timeout_s,
        verify=node.verify_tls,
    )

    def get(path: str) -> Any:
        try:
            answer = client.get(path)
        except httpx.HTTPError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise Unreachable(
                    f"its certificate is not trusted here: {error} | add the node's CA"
                    " (/etc/pve/pve-root-ca.pem) to this machine's, or name it in SSL_CERT_FILE,"
                    " or set datalab:common.target.verify_tls to false"
                ) from None
            raise Unreachable(
                f"no answer ({http.reason(error)}) | is the node on, is"
                " datalab:common.target.endpoint right, and may this machine reach it (port 8006)?"
            ) from None
        if answer.status_code == 401:
            raise Unreachable(
                "the token was refused (401) | pveum user token add root@pam datalab --privsep 1;"
                " then ./lab init lab asks for it, as USER@REALM!NAME=UUID"
            )
        if answer.status_code != 200:
            said = answer.reason_phrase or str(answer.status_code)
            raise Unreachable(
                f"GET {path.partition('?')[0]} was answered with {answer.status_code} {said} |"
                f" is datalab:common.target.node ({node.node}) the node's name, and may the token"
                " read it? The privileges above say"
            )
        return answer.json()["data"]

    return get


def _version(version: str) -> Finding:
    found = tuple(int(part) for part in version.split(".")[:2])
    return Finding(
        what="Proxmox VE",
        found=version,
        remedy=""
        if found >= OLDEST
        else "upgrade to 9: VMs import their disks by a call that came with 8.4",
    )


def _storages(
    planned: Budget, node: ProxmoxTarget, guests: list[dict[str, Any]], data: list[dict[str, Any]]
) -> Iterator[Finding]:
    kinds = {{"LXC": "vztmpl", "VM": "import"}[machine.kind] for machine in planned.machines}
    there = {guest["vmid"] for guest in guests}
    disks: dict[str, int] = {node.disk_storage: 0}
    for machine in planned.machines:
        size = 0 if machine.id in there else machine.disk_gib
        disks[machine.storage] = disks.get(machine.storage, 0) + size
    by_name = {row["storage"]: row for row in data}
    # A template has 0.2 GiB, a cloud image 0.6; both may be there in two versions.
    for name, wanted, space in (
        (node.image_storage, kinds, 4),
        *((name, {"images", "rootdir"}, size) for name, size in disks.items()),
    ):
        yield _storage(name, wanted, space, by_name.get(name))


def _storage(name: str, wanted: set[str], space: int, row: Mapping[str, Any] | None) -> Finding:
    what = f"storage {name}"
    if row is None:
        return Finding(
            what=what,
            found="not on the node, or the token may not see it",
            remedy="name one of `pvesm status` in datalab:common.target, or grant the privileges",
        )
    has = set(str(row["content"]).split(","))
    if not wanted <= has:
        every = ",".join(sorted(wanted | has))
        return Finding(
            what=what,
            found=f"does not take {', '.join(sorted(wanted - has))}",
            remedy=f"pvesm set {name} --content {every}",
        )
    if not row.get("active", 1):
        return Finding(what=what, found="not active", remedy=f"pvesm set {name} --disable 0")
    free = int(row.get("avail", 0)) // GIB
    return Finding(
        what=what,
        found=f"{free} GiB free, {space} GiB wanted",
        remedy="" if free >= space else "free some space, or lower disk_gib of the machines",
    )


def _owners(
    settings: Settings,
    planned: Budget,
    guests: list[dict[str, Any]],
    taken: Callable[[IPv4Address], bool],
) -> Iterator[Finding]:
    by_id = {guest["vmid"]: guest for guest in guests}
    names = endpoints(settings)
    for machine in planned.machines:
        what, address = f"machine {machine.name}", names[machine.name].address
        guest = by_id.get(machine.id)
        if guest is not None:
            ours = guest.get("name") == machine.name and "datalab" in str(guest.get("tags", ""))
            yield Finding(
                what=what,
                found=f"{machine.id} is there" if ours else f"{machine.id} is {guest.get('name')}",
                # The provider would adopt it without a word (bpg#2925).
                remedy="" if ours else f"choose another datalab:{machine.key}.id",
            )
        elif taken(address):
            yield Finding(
                what=what,
                found=f"somebody answers at {address}",
                remedy=f"choose another datalab:{machine.key}.address",
            )
        else:
            yield Finding(what=what, found=f"{machine.id} and {address} are free")


def somebody_answers(address: IPv4Address) -> bool:
    """Whether a machine is at `address`: it takes or refuses a connection instead of silence."""
    for port in (22, 80, 443):
        try:
            socket.create_connection((str(address), port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            continue
        return True
    return False


def _bridge(name: str, data: list[dict[str, Any]]) -> Finding:
    bridges = sorted(row["iface"] for row in data if "bridge" in str(row.get("type", "")).lower())
    there = name in bridges
    return Finding(
        what=f"bridge {name}",
        found="there" if there else f"not among {', '.join(bridges) or 'none'}",
        remedy="" if there else f"write one of them in place of {name} in the settings",
    )


def _memory(
    planned: Budget, node: ProxmoxTarget, guests: list[dict[str, Any]], data: Mapping[str, Any]
) -> Finding:
    ours = {machine.id for machine in planned.machines}
    others = sum(
        int(guest.get("maxmem", 0))
        for guest in guests
        if guest["vmid"] not in ours
        and guest.get("node") == node.node
        and guest.get("status") == "running"
    )
    total = int(data["memory"]["total"]) // 1024**2
    # What firmware and kernel keep is missing from what the node says of itself.
    short = node.memory_mib * 0.95 - total
    need = planned.floor_mib + node.reserved_mib
    left = total - others // 1024**2 - need
    found = f"{total} MiB; the lab needs {need}, other guests have {others // 1024**2}"
    remedy = ""
    if short > 0:
        remedy = f"set datalab:common.target.memory_mib to {total}, then ./lab budget lab"
    elif left < 0:
        remedy = f"{-left} MiB too few: stop other guests, or lower memory_mib of the machines"
    return Finding(what="memory", found=found, remedy=remedy)


def _device(name: str, device: PciDevice, data: list[dict[str, Any]]) -> Finding:
    what = f"PCI device {name}"
    functions = [row for row in data if str(row["id"]).startswith(f"{device.path}.")]
    if not functions:
        return Finding(
            what=what,
            found=f"nothing is at {device.path}",
            remedy=f"lspci -Dn on the node; then datalab:common.target.pci.{name}.path",
        )
    first = min(functions, key=lambda row: str(row["id"]))
    group = int(first["iommugroup"])
    if group < 0:
        return Finding(
            what=what,
            found="the IOMMU is off",
            remedy="switch VT-d or AMD-Vi on in the firmware, and intel_iommu=on (Intel) and"
            " iommu=pt in the kernel's command line; then restart the node",
        )
    wrong = {
        key: is_
        for key, is_, said in (
            ("id", _pair(first, "vendor", "device"), device.id),
            ("iommu_group", str(group), str(device.iommu_group)),
            (
                "subsystem_id",
                _pair(first, "subsystem_vendor", "subsystem_device"),
                device.subsystem_id,
            ),
        )
        if is_ != said
    }
    if wrong:
        keys = ", ".join(f"{key} is {value}" for key, value in wrong.items())
        return Finding(what=what, found=keys, remedy=f"say so in datalab:common.target.pci.{name}")
    strangers = sorted(
        str(row["id"])
        for row in data
        if row["iommugroup"] == group
        and row not in functions
        and not str(row.get("class", "")).startswith("0x0604")  # bridges stay with the node
    )
    return Finding(
        what=what,
        found=f"{len(functions)} functions in IOMMU group {group}"
        + (f" with {', '.join(strangers)}" if strangers else ""),
        remedy="they cannot stay with the node: use another slot, or give them to the VM too"
        if strangers
        else "",
    )


def _pair(row: Mapping[str, Any], vendor: str, device: str) -> str:
    return ":".join(str(row.get(key, "")).removeprefix("0x") for key in (vendor, device))
