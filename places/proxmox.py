"""Machines on a Proxmox VE node. Every name of its SDK that this project uses stands here.

reference for "bpg" numbers: issues of bpg/terraform-provider-proxmox, which the SDK wraps.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

import pulumi
import pulumi_proxmoxve as proxmox

from places.downloads import require_checksum
from settings import machines
from settings.images import Download

TAGS = ["datalab"]  # PVE sorts and lower-cases tags; anything else would never be at rest
# The user of the cloud-init drive; it may become root without a password. In an LXC, PVE gives
# the key to root.
VM_USER = "datalab"
LXC_USER = "root"

# Not given it is sent as false, whatever bpg's documentation says (v0.111.1): the guest would not
# see the card's own firmware, which NVIDIA's driver may need.
ROMBAR = True

Kind = Literal["template", "disk"]
_CONTENT = {"template": "vztmpl", "disk": "import"}


def provider(name: str, node: machines.Node, api_token: pulumi.Input[str]) -> proxmox.Provider:
    """The provider of a node. Nothing here needs SSH to the node, so it is given none."""
    return proxmox.Provider(
        name,
        endpoint=str(node.endpoint),
        # Said in either case: unset it is what PROXMOX_VE_INSECURE says. A node's own certificate
        # is signed by nobody that other machines know.
        insecure=not node.verify_tls,
        api_token=api_token,
    )


@dataclass(frozen=True, kw_only=True)
class ImageArgs:
    """An image to have on the node: an LXC template, or a VM's first disk (qcow2)."""

    node: machines.Node
    kind: Kind
    download: Download
    unpinned: Literal["refuse", "allow"]


class Image(pulumi.ComponentResource):
    """An image on the node; `volume` is its id in PVE, known before it is there.

    Machines name it by that text and depend on it: by its output, a replaced image would replace
    every machine that was once made from it.
    """

    volume: str

    def __init__(self, name: str, args: ImageArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:places:Image", name, None, opts)
        require_checksum(f"downloads.{name}", args.download.sha256, args.unpinned)
        content = _CONTENT[args.kind]
        file_name = image_file(name, args)
        proxmox.download.File(
            f"{name}-download",
            node_name=args.node.name,
            datastore_id=args.node.image_storage,
            content_type=content,
            url=args.download.url,
            file_name=file_name,
            checksum=args.download.sha256 or None,
            checksum_algorithm="sha256" if args.download.sha256 else None,
            # True would fetch it again, replacing it, when the vendor's file changes (bpg#1516).
            overwrite=False,
            overwrite_unmanaged=True,  # what an interrupted `up` left under this name
            upload_timeout=1800,  # the provider's 600 s are too few for 600 MB over a slow line
            # One file of a name: the new one would be refused, and then the old one deleted.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.volume = f"{args.node.image_storage}:{content}/{file_name}"
        self.register_outputs({"volume": self.volume})


def image_file(name: str, args: ImageArgs) -> str:
    """The image's file name on the node: with its version, and with an ending that PVE accepts.

    PVE takes templates by `.tar.*` and disks to import by `.qcow2` (Ubuntu's `.img` is one).
    """
    if args.kind == "disk":
        return f"{name}-{args.download.version}.qcow2"
    ending = "".join(PurePosixPath(urlsplit(args.download.url).path).suffixes[-2:])
    return f"{name}-{args.download.version}{ending}"


@dataclass(frozen=True, kw_only=True)
class PciMappingArgs:
    """A PCI device of the node."""

    node: machines.Node
    device: machines.PciDevice


class PciMapping(pulumi.ComponentResource):
    """A name for a PCI device, by which an API token may give it to a VM (raw ids are root's)."""

    def __init__(self, name: str, args: PciMappingArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:places:PciMapping", name, None, opts)
        proxmox.hardware.mapping.Pci(
            f"{name}-mapping",
            name=name,
            comment="datalab",
            maps=[
                proxmox.hardware.mapping.PciMapArgs(
                    node=args.node.name,
                    path=args.device.path,
                    id=args.device.id,
                    subsystem_id=args.device.subsystem_id,
                    iommu_group=args.device.iommu_group,
                )
            ],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.register_outputs({})


@dataclass(frozen=True, kw_only=True)
class LxcArgs:
    """An LXC. template is an Image's volume, public_key an OpenSSH line."""

    node: machines.Node
    machine: machines.Lxc
    template: str
    public_key: pulumi.Input[str]
    domain: str


class Lxc(pulumi.ComponentResource):
    """An unprivileged LXC; its data is on its root disk, which grows in place.

    Never on mount points: a change of theirs replaces the container and wipes them (bpg#2995).
    """

    address: IPv4Address
    user: str
    resource: proxmox.ContainerLegacy
    boot: pulumi.Output[str]

    def __init__(self, name: str, args: LxcArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:places:Lxc", name, None, opts)
        node, machine = args.node, args.machine
        self.address, self.user = machine.address, LXC_USER
        self.boot = _boot(args, bridge=node.bridge)
        self.resource = proxmox.ContainerLegacy(
            f"{name}-lxc",
            node_name=node.name,
            vm_id=machine.id,
            tags=TAGS,
            unprivileged=True,
            # systemd's sandboxing needs it; every other feature is refused to API tokens (bpg#344).
            features=proxmox.ContainerLegacyFeaturesArgs(nesting=True),
            started=True,
            start_on_boot=True,
            operating_system=proxmox.ContainerLegacyOperatingSystemArgs(
                template_file_id=args.template, type="ubuntu"
            ),
            cpu=proxmox.ContainerLegacyCpuArgs(cores=machine.cores),
            memory=proxmox.ContainerLegacyMemoryArgs(dedicated=machine.memory_mib, swap=0),
            disk=proxmox.ContainerLegacyDiskArgs(
                datastore_id=node.disk_storage,
                size=machine.disk_gib,
                # PVE's own defaults, which bpg replaces by false when the disk grows (v0.111.1).
                acl=True,
                replicate=True,
            ),
            network_interfaces=[
                proxmox.ContainerLegacyNetworkInterfaceArgs(name="eth0", bridge=node.bridge)
            ],
            initialization=proxmox.ContainerLegacyInitializationArgs(
                hostname=name,
                dns=proxmox.ContainerLegacyInitializationDnsArgs(
                    domain=args.domain, servers=[str(server) for server in node.nameservers]
                ),
                ip_configs=[
                    proxmox.ContainerLegacyInitializationIpConfigArgs(
                        ipv4=proxmox.ContainerLegacyInitializationIpConfigIpv4Args(
                            address=_interface(machine, node), gateway=str(node.gateway)
                        )
                    )
                ],
                user_account=proxmox.ContainerLegacyInitializationUserAccountArgs(
                    keys=[args.public_key]
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                # One machine an id: the new one cannot stand beside the old one (bpg#731).
                delete_before_replace=True,
                ignore_changes=[
                    # Both only say what it was made from, and would replace it: a new template is
                    # for new machines, and root's keys belong to the machine.
                    "operatingSystem.templateFileId",
                    "initialization.userAccount",
                ],
            ),
        )
        self.register_outputs({"address": str(self.address)})


@dataclass(frozen=True, kw_only=True)
class VirtualMachineArgs:
    """A VM. image is an Image's volume, public_key an OpenSSH line.

    The machine's gpu is the name of a PciMapping that must be there first (depends_on), or None.
    """

    node: machines.Node
    machine: machines.Vm
    image: str
    public_key: pulumi.Input[str]
    domain: str


class VirtualMachine(pulumi.ComponentResource):
    """A VM from a cloud image, bootstrapped by PVE's own cloud-init drive.

    No snippets: they need SSH to the node, and a changed one replaces the VM (bpg#1636).
    """

    address: IPv4Address
    user: str
    resource: proxmox.VmLegacy
    boot: pulumi.Output[str]

    def __init__(
        self, name: str, args: VirtualMachineArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:places:VirtualMachine", name, None, opts)
        node, machine = args.node, args.machine
        self.address, self.user = machine.address, VM_USER
        self.boot = _boot(
            args,
            cores=machine.cores,
            floor=_floor(args),
            gpu=[machine.gpu, ROMBAR] if machine.gpu else None,
            key=args.public_key,
            storage=node.disk_storage,
        )
        self.resource = proxmox.VmLegacy(
            f"{name}-vm",
            name=name,
            node_name=node.name,
            vm_id=machine.id,
            tags=TAGS,
            machine="q35",  # what PCIe passthrough needs
            operating_system=proxmox.VmLegacyOperatingSystemArgs(type="l26"),
            started=True,
            on_boot=True,
            # Ansible installs the guest agent later: the device must be there, but waiting for an
            # answer would take 15 minutes at creation and at every refresh (bpg#2084).
            agent=proxmox.VmLegacyAgentArgs(
                enabled=True,
                # Without effect while nothing waits for an address; but a VM is rebooted for every
                # change of this block (bpg vm.go), so it stays as labs have it.
                timeout="2m",
                wait_for_ip=proxmox.VmLegacyAgentWaitForIpArgs(disabled=True),
            ),
            stop_on_destroy=True,  # without an agent a shutdown would never be answered
            cpu=proxmox.VmLegacyCpuArgs(cores=machine.cores, type="host"),
            memory=_memory(args),
            scsi_hardware="virtio-scsi-single",  # fewer lock time-outs than the default (bpg#995)
            disks=[
                proxmox.VmLegacyDiskArgs(
                    interface="scsi0",
                    datastore_id=node.disk_storage,
                    size=machine.disk_gib,
                    # Not file_id: that needs SSH, and replaces the VM when the image changes.
                    import_from=args.image,
                    discard="on",
                    iothread=True,
                    ssd=True,
                )
            ],
            boot_orders=["scsi0"],
            serial_devices=[proxmox.VmLegacySerialDeviceArgs()],  # cloud images log to it at boot
            network_devices=[proxmox.VmLegacyNetworkDeviceArgs(bridge=node.bridge, model="virtio")],
            hostpcis=_gpu(args),
            initialization=_cloud_init(args),
            opts=pulumi.ResourceOptions(
                parent=self,
                delete_before_replace=True,
                # Read at creation only: a new image is for new VMs.
                ignore_changes=["disks[0].importFrom"],
            ),
        )
        self.register_outputs({"address": str(self.address)})


def _memory(args: VirtualMachineArgs) -> proxmox.VmLegacyMemoryArgs:
    # Without `floating` there is no balloon.
    return proxmox.VmLegacyMemoryArgs(dedicated=args.machine.memory_mib, floating=_floor(args))


def _floor(args: VirtualMachineArgs) -> int | None:
    # A passed-through device pins all memory (bpg#634).
    return None if args.machine.gpu else args.machine.floor_mib


def _gpu(args: VirtualMachineArgs) -> list[proxmox.VmLegacyHostpciArgs] | None:
    if args.machine.gpu is None:
        return None
    return [
        proxmox.VmLegacyHostpciArgs(
            device="hostpci0", mapping=args.machine.gpu, pcie=True, rombar=ROMBAR
        )
    ]


def _cloud_init(args: VirtualMachineArgs) -> proxmox.VmLegacyInitializationArgs:
    node = args.node
    return proxmox.VmLegacyInitializationArgs(
        datastore_id=node.disk_storage,
        dns=proxmox.VmLegacyInitializationDnsArgs(
            domain=args.domain, servers=[str(server) for server in node.nameservers]
        ),
        ip_configs=[
            proxmox.VmLegacyInitializationIpConfigArgs(
                ipv4=proxmox.VmLegacyInitializationIpConfigIpv4Args(
                    address=_interface(args.machine, node), gateway=str(node.gateway)
                )
            )
        ],
        user_account=proxmox.VmLegacyInitializationUserAccountArgs(
            username=VM_USER, keys=[args.public_key]
        ),
    )


def _boot(args: LxcArgs | VirtualMachineArgs, **more: pulumi.Input[object]) -> pulumi.Output[str]:
    """What the provider reboots a machine for when it changes (bpg vm.go, container.go).

    It returns once the machine was started, with neither SSH nor any service there yet.
    """
    node, machine = args.node, args.machine
    common = {
        "memory": machine.memory_mib,
        "interface": _interface(machine, node),
        "gateway": str(node.gateway),
        "nameservers": [str(server) for server in node.nameservers],
        "domain": args.domain,
    }
    return pulumi.Output.json_dumps({**common, **more}, sort_keys=True)


def _interface(machine: machines.Machine, node: machines.Node) -> str:
    return f"{machine.address}/{node.network.prefixlen}"
