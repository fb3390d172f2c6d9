"""Machines on a Proxmox VE node: LXCs and VMs.

Numbers after "bpg" are issues of bpg/terraform-provider-proxmox, which the SDK wraps.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
import pulumi_proxmoxve as proxmox

from settings import machines
from settings.target import ProxmoxTarget

TAGS = ["datalab"]  # PVE sorts and lower-cases tags; anything else would be a change at every `up`
# The user of the cloud-init drive; it may become root without a password. In an LXC, PVE gives
# the key to root.
VM_USER = "datalab"
LXC_USER = "root"

# Not given it is sent as false, whatever bpg's documentation says (v0.111.1): the guest would not
# see the card's own firmware, which NVIDIA's driver may need.
ROMBAR = True


@dataclass(frozen=True, kw_only=True)
class LxcArgs:
    """An LXC. template is an Image's volume, public_key an OpenSSH line."""

    node: ProxmoxTarget
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
        self.boot = _boot(args, bridge=machine.nics(node)[0].bridge, **_tags(args))
        self.resource = proxmox.ContainerLegacy(
            f"{name}-lxc",
            node_name=node.node,
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
                datastore_id=machine.disk_storage(node),
                size=machine.disk_gib,
                # PVE's own defaults, which bpg replaces by false when the disk grows (v0.111.1).
                acl=True,
                replicate=True,
            ),
            network_interfaces=[
                proxmox.ContainerLegacyNetworkInterfaceArgs(
                    name=f"eth{number}", bridge=nic.bridge, vlan_id=nic.vlan, mtu=nic.mtu
                )
                for number, nic in enumerate(machine.nics(node))
            ],
            initialization=proxmox.ContainerLegacyInitializationArgs(
                hostname=name,
                dns=proxmox.ContainerLegacyInitializationDnsArgs(
                    domain=args.domain, servers=[str(server) for server in node.nameservers]
                ),
                ip_configs=[
                    proxmox.ContainerLegacyInitializationIpConfigArgs(
                        ipv4=proxmox.ContainerLegacyInitializationIpConfigIpv4Args(
                            address=nic.address, gateway=nic.gateway
                        )
                    )
                    for nic in machine.nics(node)
                ],
                user_account=proxmox.ContainerLegacyInitializationUserAccountArgs(
                    keys=[args.public_key]
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                # One machine an id: the new one cannot be next to the old one (bpg#731).
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

    The machine's devices are names of PciMappings that must be there first (depends_on).
    """

    node: ProxmoxTarget
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
            gpu=[*machine.devices, ROMBAR] if machine.devices else None,
            key=args.public_key,
            storage=machine.disk_storage(node),
            **_tags(args),
        )
        self.resource = proxmox.VmLegacy(
            f"{name}-vm",
            name=name,
            node_name=node.node,
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
                    datastore_id=machine.disk_storage(node),
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
            network_devices=[
                proxmox.VmLegacyNetworkDeviceArgs(
                    bridge=nic.bridge, model="virtio", vlan_id=nic.vlan, mtu=nic.mtu
                )
                for nic in machine.nics(node)
            ],
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
    return None if args.machine.devices else args.machine.floor_mib


def _gpu(args: VirtualMachineArgs) -> list[proxmox.VmLegacyHostpciArgs] | None:
    return [
        proxmox.VmLegacyHostpciArgs(
            device=f"hostpci{number}", mapping=name, pcie=True, rombar=ROMBAR
        )
        for number, name in enumerate(args.machine.devices)
    ] or None


def _cloud_init(args: VirtualMachineArgs) -> proxmox.VmLegacyInitializationArgs:
    node = args.node
    return proxmox.VmLegacyInitializationArgs(
        datastore_id=args.machine.disk_storage(node),
        dns=proxmox.VmLegacyInitializationDnsArgs(
            domain=args.domain, servers=[str(server) for server in node.nameservers]
        ),
        ip_configs=[
            proxmox.VmLegacyInitializationIpConfigArgs(
                ipv4=proxmox.VmLegacyInitializationIpConfigIpv4Args(
                    address=nic.address, gateway=nic.gateway
                )
            )
            for nic in args.machine.nics(node)
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
        "interface": machine.nics(node)[0].address,
        "gateway": machine.nics(node)[0].gateway,
        "nameservers": [str(server) for server in node.nameservers],
        "domain": args.domain,
    }
    return pulumi.Output.json_dumps({**common, **more}, sort_keys=True)


def _tags(args: LxcArgs | VirtualMachineArgs) -> dict[str, pulumi.Input[object]]:
    """What else of the interfaces has a reboot; empty where there is nothing of it."""
    nics = args.machine.nics(args.node)
    found = [[nic.bridge, nic.vlan, nic.mtu, nic.address] for nic in nics]
    plain = len(nics) == 1 and nics[0].vlan is None and nics[0].mtu is None
    return {} if plain else {"nics": found}
