"""The Proxmox VE node and the machines on it."""

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, HttpUrl

from settings.base import Model, Name

API_PORT = 8006  # pveproxy's
Content = Literal["iso", "vztmpl", "import", "backup", "images", "rootdir", "snippets"]


def _endpoint(url: HttpUrl) -> HttpUrl:
    """The provider takes https alone, and everyone who asks the API adds the path (bpg's client.go:
    "you must specify a secure endpoint"). A name and password would stand in plain state.
    """
    port = API_PORT if url.scheme == "http" and url.port == 80 else url.port
    right = f"https://{url.host}:{port}"
    extra = (url.path or "/") != "/" or url.query or url.fragment or url.username or url.password
    if url.scheme != "https" or extra:
        raise ValueError(f"the API's address is https, a host and a port alone; write {right}")
    return url


class Storage(Model):
    """A storage of the node."""

    capacity_gib: int = Field(ge=1, description="What it can hold, in GiB")
    content: tuple[Content, ...] = Field(
        min_length=1, description="The content types that are enabled on it"
    )


class PciDevice(Model):
    """A PCI device that one VM may be given as a whole, with all its functions."""

    # Without the function: PVE then passes every function of the slot together, and a list of
    # paths in one mapping would mean alternatives (PVE's API schema of cluster/mapping/pci).
    path: Annotated[
        str, Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}$", examples=["0000:01:00"])
    ] = Field(description="PCI address without the function")
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$", examples=["10de:1f15"])] = Field(
        description="Vendor and device of the first function, as in `lspci -n`"
    )
    subsystem_id: Annotated[
        str, Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$", examples=["17aa:3a47"])
    ] = Field(description="Subsystem's vendor and device")
    iommu_group: int = Field(ge=0, description="IOMMU group of the device on the node")


class MachineIds(Model):
    """The ids that this program may give to machines; PVE re-uses freed ids for anyone's."""

    # PVE's own range is 100 to 999999999 (API schema of POST nodes/{node}/qemu).
    first: int = Field(ge=100, le=999_999_999, description="The lowest of them")
    last: int = Field(ge=100, le=999_999_999, description="The highest of them")


class Node(Model):
    """The Proxmox VE node that carries the lab."""

    name: Name = Field(description="The node's name in PVE")
    endpoint: Annotated[HttpUrl, AfterValidator(_endpoint)] = Field(
        description="Address of its API, for example https://192.168.1.2:8006"
    )
    verify_tls: bool = Field(
        default=True, description="Whether the API's certificate must be trusted by this machine"
    )
    cores: int = Field(ge=1, le=8192, description="Host threads")
    memory_mib: int = Field(ge=1024, description="RAM in MiB")
    # PVE needs at least 1 GiB for itself; 2 GiB was measured in use (reference budget, section 2).
    reserved_mib: int = Field(default=2048, ge=1024, description="RAM kept for the hypervisor")
    storages: dict[str, Storage] = Field(min_length=1, description="Its storages, by name")
    image_storage: str = Field(description="Storage for cloud images and templates")
    disk_storage: str = Field(description="Storage for the machines' disks")
    bridge: Name = Field(description="Network bridge that the machines join")
    network: IPv4Network = Field(description="The bridge's network")
    gateway: IPv4Address = Field(description="Its router")
    # resolv.conf(5): resolvers look at three.
    nameservers: tuple[IPv4Address, ...] = Field(
        min_length=1, max_length=3, description="DNS servers of the machines"
    )
    machine_ids: MachineIds
    pci: dict[Name, PciDevice] = Field(default={}, description="Devices to pass through, by name")


class Machine(Model):
    """A machine on the node."""

    id: int = Field(ge=100, le=999_999_999, description="Its id in PVE; VMs and LXCs share them")
    address: IPv4Address = Field(description="Its static address on the bridge")
    cores: int = Field(ge=1, le=512, description="Cores, as shares of the node's threads")
    memory_mib: int = Field(ge=256, description="Memory in MiB")
    # Ubuntu 24.04's cloud image is 3.5 GiB unpacked; less than 8 leaves no room to update it.
    disk_gib: int = Field(ge=8, description="Root disk in GiB; it can grow, never shrink")


class Lxc(Machine):
    """An unprivileged LXC."""


class Vm(Machine):
    """A virtual machine."""

    floor_mib: int | None = Field(
        default=None,
        ge=256,
        description="What memory ballooning may shrink it to; unset: it always has all of it",
    )
    gpu: Name | None = Field(
        default=None, description="Name of the PCI device given to it, a key of common.node.pci"
    )
