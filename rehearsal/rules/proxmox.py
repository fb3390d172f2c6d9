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


def running(step: Step) -> Iterator[Item]:
    """The node's other machines that are on."""
    for machine in step.others(VM, LXC):
        if machine.get("started", True):
            yield machine


def _disks(type_: str, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    disks = inputs.get("disks") or [] if type_ == VM else [inputs.get("disk") or {}]
    return [disk for disk in disks if disk]


@rule(VM, LXC, on=("create",))
def id_is_free(step: Step) -> None:
    wanted = step.inputs.get("vmId")
    for other in step.others(VM, LXC):
        if str(wanted) == other.id:
            raise RefusedError(
                "pve-id-in-use", what=WORDS[other.type], id=wanted, node=step.world.facts.node
            )


def _storage(step: Step, name: str, content: str) -> None:
    storage = step.world.facts.storages.get(name)
    if storage is None:
        raise RefusedError("pve-storage-unknown", storage=name)
    if content not in storage.content:
        raise RefusedError("pve-content-type", storage=name, content=content)


@rule(VM, LXC)
def storage_takes_disks(step: Step) -> None:
    for disk in _disks(step.type, step.inputs):
        name = disk.get("datastoreId", "local-lvm")  # bpg's default
        _storage(step, name, "images" if step.type == VM else "rootdir")


@rule(VM, LXC, on=("update",))
def disks_only_grow(step: Step) -> None:
    before = {d.get("interface"): d for d in _disks(step.type, step.existing.inputs)}
    for disk in _disks(step.type, step.inputs):
        old = before.get(disk.get("interface"), {})
        if disk.get("size", 0) < old.get("size", 0):
            raise RefusedError("pve-disk-shrink", disk=disk.get("interface", "rootfs"))


@rule(VM)
def devices_are_free(step: Step) -> None:
    for mapping in at(step.inputs, "hostpcis[].mapping"):
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
