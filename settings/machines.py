"""The machines on a Proxmox VE node."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Annotated

from pydantic import AfterValidator, Field

from settings.base import MOST_GIB, MOST_MIB, Model
from settings.target import Bridge, MappingName, Mtu, ProxmoxTarget, StorageName, Vlan


def _address(text: str) -> str:
    """An interface's address: with the length of its prefix, or `dhcp`."""
    if text == "dhcp":
        return text
    try:
        address = IPv4Interface(text)
    except ValueError:
        address = IPv4Interface("0.0.0.0/0")
    if "/" not in text or not address.network.prefixlen:
        raise ValueError(f"{text[:40]!r} is not an address such as 10.0.0.5/24, or dhcp")
    return text


class MachineNetwork(Model):
    """The network of a machine that is not in the node's."""

    bridge: Bridge | None = Field(default=None, description="Unset: common.target.bridge")
    vlan: Vlan | None = Field(default=None, description="VLAN on the bridge; unset: untagged")
    mtu: Mtu | None = Field(default=None, description="MTU; unset: 1500")
    network: IPv4Network = Field(description="The network that `address` is in")
    gateway: IPv4Address = Field(description="Its router")
    gateway_on_link: bool = Field(
        default=False, description="Whether the router may be outside of the network"
    )


@dataclass(frozen=True, kw_only=True)
class Nic:
    """A network interface on the node; address is with its prefix's length, or `dhcp`.

    A gateway outside of the network is reached on the link: PVE writes that into an LXC
    (pve-container, LXC/Setup/Base.pm), cloud-init into a VM (cloudinit/net/netplan.py).
    """

    bridge: str
    vlan: int | None
    mtu: int | None
    address: str
    gateway: str | None = None


class Interface(Model):
    """One more network interface of a machine, without a router."""

    bridge: Bridge = Field(description="Network bridge that it joins")
    address: Annotated[str, AfterValidator(_address)] = Field(
        max_length=len("255.255.255.255/32"),
        description="Its address with the length of the prefix, such as 10.0.0.5/24, or dhcp",
    )
    vlan: Vlan | None = Field(default=None, description="VLAN on the bridge; unset: untagged")
    mtu: Mtu | None = Field(default=None, description="MTU; unset: 1500")


class Machine(Model):
    """A machine on the node."""

    id: int = Field(ge=100, le=999_999_999, description="Its id in PVE; VMs and LXCs share them")
    address: IPv4Address = Field(description="Its static address")
    cores: int = Field(ge=1, le=512, description="Cores, as shares of the node's threads")
    memory_mib: int = Field(ge=256, le=MOST_MIB, description="Memory in MiB")
    # Ubuntu 24.04's cloud image is 3.5 GiB unpacked; less than 8 leaves no room to update it.
    disk_gib: int = Field(
        ge=8, le=MOST_GIB, description="Root disk in GiB; it can grow, never shrink"
    )
    storage: StorageName | None = Field(
        default=None, description="Storage of its disk; unset: common.target.disk_storage"
    )
    network: MachineNetwork | None = Field(
        default=None, description="Its network, where it is not the node's"
    )
    # PVE's API schema: net0 to net31; the first is the one above.
    interfaces: tuple[Interface, ...] = Field(
        default=(), max_length=7, description="More network interfaces"
    )

    def lan(self, node: ProxmoxTarget) -> ProxmoxTarget | MachineNetwork:
        """Where its network is described: of its own, or the node's."""
        return self.network or node

    def disk_storage(self, node: ProxmoxTarget) -> str:
        """The storage that its disk is on."""
        return self.storage or node.disk_storage

    def nics(self, node: ProxmoxTarget) -> list[Nic]:
        """Its network interfaces, as PVE numbers them."""
        lan = self.network or node
        first = Nic(
            bridge=lan.bridge or node.bridge,
            vlan=lan.vlan,
            mtu=lan.mtu,
            address=f"{self.address}/{lan.network.prefixlen}",
            gateway=str(lan.gateway),
        )
        return [
            first,
            *(
                Nic(bridge=nic.bridge, vlan=nic.vlan, mtu=nic.mtu, address=nic.address)
                for nic in self.interfaces
            ),
        ]


class Lxc(Machine):
    """An unprivileged LXC."""


class Vm(Machine):
    """A virtual machine."""

    floor_mib: int | None = Field(
        default=None,
        ge=256,
        le=MOST_MIB,
        description="What memory ballooning may shrink it to; unset: it always has all of it",
    )
    gpu: MappingName | None = Field(
        default=None, description="Name of the PCI device given to it, a key of common.target.pci"
    )
    gpus: tuple[MappingName, ...] = Field(
        default=(), max_length=4, description="More than one such device; then without `gpu`"
    )

    @property
    def devices(self) -> tuple[str, ...]:
        """The PCI devices given to it, by name."""
        return (*((self.gpu,) if self.gpu else ()), *self.gpus)
