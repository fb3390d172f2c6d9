"""What machines on a Proxmox VE node need: its provider, images, and names of PCI devices.

Numbers after "bpg" are issues of bpg/terraform-provider-proxmox, which the SDK wraps.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

import pulumi
import pulumi_proxmoxve as proxmox

from settings.images import File
from settings.target import PciDevice, ProxmoxTarget
from targets.downloads import require_checksum

Kind = Literal["template", "disk"]
_CONTENT = {"template": "vztmpl", "disk": "import"}


def provider(name: str, node: ProxmoxTarget, api_token: pulumi.Input[str]) -> proxmox.Provider:
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

    node: ProxmoxTarget
    kind: Kind
    download: File
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
            node_name=args.node.node,
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

    node: ProxmoxTarget
    device: PciDevice


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
                    node=args.node.node,
                    path=args.device.path,
                    id=args.device.id,
                    subsystem_id=args.device.subsystem_id,
                    iommu_group=args.device.iommu_group,
                )
            ],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.register_outputs({})
