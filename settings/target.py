"""What the lab runs on: this machine's Docker engine, or a Proxmox VE node."""

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, HttpUrl, IPvAnyAddress

from settings.base import MOST_GIB, MOST_MIB, Model

API_PORT = 8006  # pveproxy's
# Names that a node has already, by PVE's own rules (pve-common, PVE/JSONSchema.pm: pve-node,
# pve-storage-id, pve-bridge-id, pve-configid). Linux ends a bridge's name at 15 characters.
NodeName = Annotated[
    str,
    Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$", examples=["pve", "PVE2"]),
]
StorageName = Annotated[
    str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9._-]{0,126}[a-zA-Z0-9]$", examples=["local-lvm"])
]
Bridge = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,15}$", examples=["vmbr0", "br_lan"])]
MappingName = Annotated[
    str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_-]{1,62}$", examples=["gpu", "RTX_4000"])
]
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


# IEEE 802.1Q: 0 and 4095 are reserved.
Vlan = Annotated[int, Field(ge=1, le=4094)]
# RFC 791's least for IPv4; the most is virtio's (PVE's API schema of net[n]).
Mtu = Annotated[int, Field(ge=576, le=65520)]
VENDORS = {"10de": "nvidia", "1002": "render", "8086": "render"}  # PCI ids of NVIDIA, AMD, Intel


class DockerTarget(Model):
    """The Docker engine of the machine at hand: everything is a container on it."""

    kind: Literal["docker"] = Field(description="The kind of target")
    memory_mib: int = Field(
        ge=1024, le=MOST_MIB, description="Memory in MiB that the lab's containers may use"
    )
    cores: int = Field(ge=1, le=512, description="Cores of the machine")
    images: Literal["registries", "packages"] = Field(
        default="registries",
        description="Where images of others come from: their registries, or packages, of which "
        "this machine then makes them, with local providers in place of plugins "
        "(docs/from-packages.md)",
    )
    address: IPv4Address = Field(
        default=IPv4Address("127.0.0.1"),
        description="Where ports are published. Anything but loopback is open to the network",
    )


class Storage(Model):
    """A storage of the node."""

    capacity_gib: int = Field(ge=1, le=MOST_GIB, description="What it can hold, in GiB")
    content: tuple[Content, ...] = Field(
        min_length=1, max_length=7, description="The content types that are enabled on it"
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
    iommu_group: int = Field(ge=0, le=65_535, description="IOMMU group of the device on the node")

    @property
    def gpu_type(self) -> str | None:
        """As services.ollama.gpu_type has it; None for the device of another vendor."""
        return VENDORS.get(self.id.partition(":")[0])


class MachineIds(Model):
    """The ids that this program may give to machines; PVE re-uses freed ids for anyone's."""

    # PVE's own range is 100 to 999999999 (API schema of POST nodes/{node}/qemu).
    first: int = Field(ge=100, le=999_999_999, description="The lowest of them")
    last: int = Field(ge=100, le=999_999_999, description="The highest of them")


class ProxmoxTarget(Model):
    """A Proxmox VE node: layers 1 and 2 are machines on it."""

    kind: Literal["proxmox"] = Field(description="The kind of target")
    node: NodeName = Field(description="The node's name in PVE")
    endpoint: Annotated[HttpUrl, AfterValidator(_endpoint)] = Field(
        description="Address of its API, for example https://192.168.1.2:8006"
    )
    verify_tls: bool = Field(
        default=True, description="Whether the API's certificate must be trusted by this machine"
    )
    cores: int = Field(ge=1, le=8192, description="Host threads")
    memory_mib: int = Field(ge=1024, le=MOST_MIB, description="RAM in MiB")
    # PVE needs at least 1 GiB for itself; 2 GiB was measured in use (reference budget, section 2).
    reserved_mib: int = Field(
        default=2048, ge=1024, le=MOST_MIB, description="RAM kept for the hypervisor"
    )
    storages: dict[StorageName, Storage] = Field(
        min_length=1, max_length=100, description="Its storages, by name"
    )
    image_storage: StorageName = Field(description="Storage for cloud images and templates")
    disk_storage: StorageName = Field(description="Storage for the machines' disks")
    bridge: Bridge = Field(description="Network bridge that the machines join")
    vlan: Vlan | None = Field(
        default=None, description="VLAN of the machines on the bridge; unset: untagged"
    )
    mtu: Mtu | None = Field(default=None, description="MTU of the machines; unset: 1500")
    network: IPv4Network = Field(description="The machines' network")
    gateway: IPv4Address = Field(description="Its router")
    gateway_on_link: bool = Field(
        default=False, description="Whether the router may be outside of the network"
    )
    # resolv.conf(5): resolvers look at three.
    nameservers: tuple[IPvAnyAddress, ...] = Field(
        min_length=1, max_length=3, description="DNS servers of the machines"
    )
    machine_ids: MachineIds
    pci: dict[MappingName, PciDevice] = Field(
        default={}, max_length=100, description="Devices to pass through, by name"
    )


Target = Annotated[DockerTarget | ProxmoxTarget, Field(discriminator="kind")]
