"""A Proxmox VE node. Sources of each reason: rehearsal/refusals.yaml."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rehearsal.catalogue import at
from rehearsal.refusals import RefusedError
from rehearsal.rules import Step, check, drifts, outputs, rule
from rehearsal.wire import Unknown
from rehearsal.world import Item

VM = "proxmoxve:index/vmLegacy:VmLegacy"
LXC = "proxmoxve:index/containerLegacy:ContainerLegacy"
FILE = "proxmoxve:download/file:File"
MAPPING = "proxmoxve:hardware/mapping/pci:Pci"
WORDS = {VM: "VM", LXC: "CT"}
# Hex digits of a checksum: the lengths of the digests that PVE's API schema names.
DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
# Settings that no API token may touch, root@pam's own included; bpg's documentation of each.
ROOT_ONLY = {
    VM: (
        "amdSev", "cpu.affinity", "cpu.architecture", "initialization.upgrade",
        "memory.hugepages", "memory.keepHugepages", "rngs", "kvmArguments", "hookScriptFileId",
    ),
    LXC: ("features.fuse", "features.keyctl", "features.mknod", "features.mounts", "idmaps"),
}  # fmt: skip


def _dig(values: Mapping[str, Any], path: str, default: Any = None) -> Any:
    return next(at(values, path), default)


def running(step: Step) -> Iterator[Item]:
    """The node's other machines that are on."""
    for machine in step.others(VM, LXC):
        if machine.get("started", True):
            yield machine


def _disks(type_: str, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    disks = inputs.get("disks") or [] if type_ == VM else [inputs.get("disk") or {}]
    return [disk for disk in disks if disk]


@rule(VM, LXC, FILE, MAPPING)
def node_is_there(step: Step) -> None:
    named = [step.inputs.get("nodeName"), *at(step.inputs, "maps[].node")]
    for node in named:
        if node is not None and node != step.world.facts.node:
            raise RefusedError("pve-node-unknown", node=node)


@rule(VM, LXC, on=("create",))
def id_is_free(step: Step) -> None:
    wanted = step.inputs.get("vmId")
    for other in step.others(VM, LXC):
        if str(wanted) == other.id:
            raise RefusedError(
                "pve-id-in-use", what=WORDS[other.type], id=wanted, node=step.world.facts.node
            )


@rule(VM, LXC)
def address_is_free(step: Step) -> None:
    path = "initialization.ipConfigs[].ipv4.address"
    for address in (a.partition("/")[0] for a in at(step.inputs, path) if a != "dhcp"):
        for other in step.others(VM, LXC):
            if address in (a.partition("/")[0] for a in at(other.inputs, path)):
                raise RefusedError(
                    "pve-address-in-use", address=address, what=WORDS[other.type], id=other.id
                )


@rule(VM, LXC)
def bridge_is_there(step: Step) -> None:
    path = "networkDevices[].bridge" if step.type == VM else "networkInterfaces[].bridge"
    for bridge in at(step.inputs, path):
        if bridge not in step.world.facts.bridges:
            raise RefusedError("pve-bridge-unknown", bridge=bridge)


def _storage(step: Step, name: str, content: str) -> None:
    storage = step.world.facts.storages.get(name)
    if storage is None:
        raise RefusedError("pve-storage-unknown", storage=name)
    if content not in storage.content:
        raise RefusedError("pve-content-type", storage=name, content=content)


@rule(VM, LXC)
def disks_fit(step: Step) -> None:
    wanted: dict[str, float] = {}
    for disk in _disks(step.type, step.inputs):
        name = disk.get("datastoreId", "local-lvm")  # bpg's default
        _storage(step, name, "images" if step.type == VM else "rootdir")
        wanted[name] = wanted.get(name, 0) + disk.get("size", 8)
    for name, size in wanted.items():
        taken = sum(
            disk.get("size", 8)
            for machine in step.others(VM, LXC)
            for disk in _disks(machine.type, machine.inputs)
            if disk.get("datastoreId", "local-lvm") == name
        )
        free = step.world.facts.storages[name].capacity_gib - taken
        if size > free:
            raise RefusedError("pve-storage-full", storage=name, size=size, free=free)


@rule(VM, LXC, on=("update",))
def disks_only_grow(step: Step) -> None:
    before = {d.get("interface"): d for d in _disks(step.type, step.existing.inputs)}
    for disk in _disks(step.type, step.inputs):
        old = before.get(disk.get("interface"), {})
        if disk.get("size", 0) < old.get("size", 0):
            raise RefusedError("pve-disk-shrink", disk=disk.get("interface", "rootfs"))


@rule(VM)
def cores_exist(step: Step) -> None:
    cores = _dig(step.inputs, "cpu.cores", 1) * _dig(step.inputs, "cpu.sockets", 1)
    if cores > step.world.facts.cores:
        raise RefusedError("pve-cores", cores=step.world.facts.cores)


def _floor(type_: str, inputs: Mapping[str, Any]) -> int:
    """The memory that a machine surely takes, in MiB: reference budget, section 1."""
    dedicated: int = _dig(inputs, "memory.dedicated", 512)
    floating: int = _dig(inputs, "memory.floating", 0)
    balloons = type_ == VM and floating and not inputs.get("hostpcis")
    return floating if balloons else dedicated


@rule(VM, LXC)
def memory_is_there(step: Step) -> None:
    if not step.inputs.get("started", True):
        return
    facts = step.world.facts
    taken = sum(_floor(machine.type, machine.inputs) for machine in running(step))
    free = facts.memory_mib - facts.reserved_mib - taken
    needed = _floor(step.type, step.inputs)
    if needed > free:
        raise RefusedError("pve-memory", needed=needed, free=free)


@rule(VM)
def images_are_there(step: Step) -> None:
    if step.operation == "update":
        return  # a disk is imported once
    for volume in (*at(step.inputs, "disks[].importFrom"), *at(step.inputs, "disks[].fileId")):
        if not any(file.id == volume for file in step.others(FILE)):
            raise RefusedError("pve-image-missing", volume=volume)


@rule(LXC, on=("create",))
def template_is_there(step: Step) -> None:
    volume = _dig(step.inputs, "operatingSystem.templateFileId")
    if volume and not any(file.id == volume for file in step.others(FILE)):
        raise RefusedError("pve-template-missing", volume=volume)


@rule(VM)
def devices_are_free(step: Step) -> None:
    known = {item.id for item in step.others(MAPPING)}
    for device in step.inputs.get("hostpcis") or []:
        if device.get("id"):
            raise RefusedError("pve-hostpci-raw", device=device.get("device"))
        mapping = device.get("mapping")
        if mapping not in known:
            raise RefusedError("pve-mapping-unknown", mapping=mapping)
        for other in running(step):
            if mapping in at(other.inputs, "hostpcis[].mapping"):
                raise RefusedError("pve-mapping-taken", mapping=mapping, id=other.id)


@rule(MAPPING)
def device_is_in_the_node(step: Step) -> None:
    for entry in step.inputs.get("maps") or []:
        path = re.sub(r"\.\d$", "", entry["path"])
        found = [device for device in step.world.facts.pci if device.path == path]
        if not found or found[0].id != entry["id"]:
            raise RefusedError(
                "pve-device-missing", path=path, id=entry["id"], node=step.world.facts.node
            )


@rule(VM, LXC)
def tokens_are_not_root(step: Step) -> None:
    if "apiToken" not in step.config:
        return
    for path in ROOT_ONLY[step.type]:
        if _dig(step.inputs, path):
            word = "pve-lxc-feature" if path.startswith("features.") else "pve-root-only"
            raise RefusedError(word, option=path)


@rule(FILE)
def download_is_possible(step: Step) -> None:
    inputs = step.inputs
    _storage(step, inputs["datastoreId"], inputs["contentType"])
    if inputs.get("overwriteUnmanaged"):
        return  # what is there is deleted first
    name = inputs.get("fileName")
    for other in step.others(FILE):
        if other.get("fileName") == name and other.get("datastoreId") == inputs["datastoreId"]:
            raise RefusedError("pve-file-exists", file=name)


@check(FILE)
def checksum_is_one(inputs: Mapping[str, Any]) -> None:
    checksum, algorithm = inputs.get("checksum"), inputs.get("checksumAlgorithm")
    if isinstance(checksum, Unknown) or isinstance(algorithm, Unknown):
        return
    if (checksum is None) != (algorithm is None):
        raise RefusedError("pve-checksum-alone", at="checksum")
    if checksum is not None and not re.fullmatch(
        rf"[0-9a-fA-F]{{{DIGITS.get(str(algorithm), 0)}}}", checksum
    ):
        raise RefusedError("pve-checksum", at="checksum", algorithm=algorithm)


@drifts(VM, LXC)
def tags_read_back_differently(inputs: Mapping[str, Any]) -> set[str]:
    tags = inputs.get("tags")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return set()
    return set() if tags == sorted({tag.lower() for tag in tags}) else {"tags"}


@outputs(VM, LXC)
def machine_outputs(step: Step) -> dict[str, Any]:
    return {"vmId": int(step.inputs.get("vmId") or step.world.next_serial() + 99)}


@outputs(FILE)
def file_outputs(step: Step) -> dict[str, Any]:
    name = step.inputs.get("fileName") or str(step.inputs["url"]).rpartition("/")[2]
    return {"fileName": name, "size": 629_145_600}
