"""What a token of the Proxmox node must be allowed to do, and how to allow it."""

from collections.abc import Iterable, Mapping

from cli.commands.doctor.finding import Finding
from settings.machines import Machine
from settings.target import ProxmoxTarget

# What the provider's calls need, by path: the permissions that PVE's API schema states for them.
VMS = (
    "VM.Allocate VM.Audit VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk"
    " VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.PowerMgmt"
)
# PVE 9 has it in the place of VM.Monitor (its release notes).
AGENT = {True: "VM.GuestAgent.Audit", False: "VM.Monitor"}
# Allocate, which is more than it should take, is for a new version of an image: the old one is
# deleted first (PVE's Storage/Content.pm asks for it; its schema does not say).
IMAGES = "Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit"
DISKS = "Datastore.AllocateSpace Datastore.Audit"
NODE = "Sys.AccessNetwork Sys.Audit"
MAPPING = "Mapping.Audit Mapping.Modify Mapping.Use"


def needed(node: ProxmoxTarget, guests: Iterable[Machine], major: int) -> dict[str, str]:
    """Path -> privileges that a token needs for these machines, on this major version of PVE."""
    paths = {"/vms": f"{VMS} {AGENT[major >= 9]}", f"/nodes/{node.node}": NODE}
    for guest in guests:
        # A VLAN's own path is below its bridge's, whose privileges hold there too.
        paths |= {f"/sdn/zones/localnetwork/{nic.bridge}": "SDN.Use" for nic in guest.nics(node)}
        paths[f"/storage/{guest.disk_storage(node)}"] = DISKS
    image = f"/storage/{node.image_storage}"
    paths[image] = " ".join(sorted({*IMAGES.split(), *paths.get(image, "").split()}))
    if node.pci:
        paths["/mapping/pci"] = MAPPING
        paths["/"] = "Sys.Audit"  # for the list of PCI devices
    return paths


def privileges(
    node: ProxmoxTarget,
    guests: Iterable[Machine],
    version: str,
    token: str,
    held: Mapping[str, Mapping[str, int]],
) -> Finding:
    """Whether `held` (the API's answer) suffices, with the lines to run where it does not."""
    wanted_at = needed(node, guests, int(version.partition(".")[0]))
    missing = {
        path: lacking
        for path, wanted in wanted_at.items()
        if (lacking := [name for name in wanted.split() if not _holds(held, path, name)])
    }
    what = "token's privileges"
    if not missing:
        return Finding(what=what, found="sufficient")
    lines = ["as root on the node:"]
    for path in missing:
        lines += grant(node, path, wanted_at[path], token.partition("=")[0])
    listed = "; ".join(f"{path}: {' '.join(names)}" for path, names in missing.items())
    return Finding(what=what, found=f"missing {listed}", remedy="\n         ".join(lines))


def grant(node: ProxmoxTarget, path: str, wanted: str, identity: str) -> list[str]:
    """The lines that give an identity (`user@realm!token`) privileges at a path."""
    user = identity.partition("!")[0]
    role = f"datalab-{path.strip('/').split('/')[0] or 'root'}"
    role += "-images" if path == f"/storage/{node.image_storage}" else ""
    # What is meant for the root alone would otherwise hold everywhere.
    options = f"--roles {role}" + (" --propagate 0" if path == "/" else "")
    # A token has at most what its user has; root@pam has everything.
    users = [] if user == "root@pam" else [f"--users {user}"]
    return [
        f"pveum role add {role} --privs '{wanted}' || pveum role modify {role} --privs '{wanted}'",
        *(f"pveum acl modify {path} {who} {options}" for who in (*users, f"--tokens '{identity}'")),
    ]


def _holds(held: Mapping[str, Mapping[str, int]], path: str, privilege: str) -> bool:
    """Whether a privilege is held at a path, or above it where it is handed down (1)."""
    parts = [part for part in path.split("/") if part]
    above = ["/" + "/".join(parts[:count]) for count in range(len(parts))]
    return privilege in held.get(path, {}) or any(
        held.get(place, {}).get(privilege) == 1 for place in above
    )
