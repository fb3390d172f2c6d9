"""What a token of the Proxmox node must be allowed to do, and how to allow it."""

from collections.abc import Mapping

from cli.doctor import Finding
from settings.machines import Node

# What the provider's calls need, by path: the permissions that PVE's API schema states for them.
VMS = (
    "VM.Allocate VM.Audit VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk"
    " VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.GuestAgent.Audit"
    " VM.PowerMgmt"
)
IMAGES = "Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit"
DISKS = "Datastore.AllocateSpace Datastore.Audit"
NODE = "Sys.AccessNetwork Sys.Audit"
MAPPING = "Mapping.Audit Mapping.Modify Mapping.Use"


def needed(node: Node) -> dict[str, str]:
    """Path -> privileges that a token needs there."""
    paths = {
        "/vms": VMS,
        f"/nodes/{node.name}": NODE,
        f"/sdn/zones/localnetwork/{node.bridge}": "SDN.Use",
        f"/storage/{node.disk_storage}": DISKS,
    }
    image = f"/storage/{node.image_storage}"
    paths[image] = " ".join(sorted({*IMAGES.split(), *paths.get(image, "").split()}))
    if node.pci:
        paths["/mapping/pci"] = MAPPING
        paths["/"] = "Sys.Audit"  # for the list of PCI devices
    return paths


def privileges(node: Node, token: str, held: Mapping[str, Mapping[str, int]]) -> Finding:
    """Whether `held` (the API's answer) suffices, with the lines to run where it does not."""
    wanted_at = needed(node)
    missing = {
        path: lacking
        for path, wanted in wanted_at.items()
        if (lacking := [name for name in wanted.split() if not _holds(held, path, name)])
    }
    what = "token's privileges"
    if not missing:
        return Finding(what=what, found="sufficient")
    identity = token.partition("=")[0]
    lines = ["as root on the node:"]
    for path in missing:
        role = f"datalab-{path.strip('/').split('/')[0] or 'root'}"
        role += "-images" if path == f"/storage/{node.image_storage}" else ""
        lines.append(f"pveum role add {role} --privs '{wanted_at[path]}'")
        lines += [
            f"pveum acl modify {path} {who} --roles {role}"
            for who in (f"--users {identity.partition('!')[0]}", f"--tokens '{identity}'")
        ]
    listed = "; ".join(f"{path}: {' '.join(names)}" for path, names in missing.items())
    return Finding(what=what, found=f"missing {listed}", remedy="\n         ".join(lines))


def _holds(held: Mapping[str, Mapping[str, int]], path: str, privilege: str) -> bool:
    """Whether a privilege is held at a path, or above it where it is handed down (1)."""
    parts = [part for part in path.split("/") if part]
    above = ["/" + "/".join(parts[:count]) for count in range(len(parts))]
    return privilege in held.get(path, {}) or any(
        held.get(place, {}).get(privilege) == 1 for place in above
    )
