"""The place `proxmox` for layers 1 and 2."""

import pulumi
import pulumi_command as command
import pulumi_tls as tls

from layers.ground import Ground
from places.machines import MachineArgs, MachinePlace
from places.proxmox import provider
from settings import Settings
from settings.names import hosts
from settings.program import Given
from settings.target import ProxmoxTarget


class MachineKey(pulumi.ComponentResource):
    """The SSH key of a layer's machines: made here, kept in the state, never in a file."""

    private_key: pulumi.Output[str]
    public_key: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:places:MachineKey", name, None, opts)
        key = tls.PrivateKey(
            f"{name}-ssh", algorithm="ED25519", opts=pulumi.ResourceOptions(parent=self)
        )
        self.private_key = key.private_key_openssh
        self.public_key = key.public_key_openssh.apply(str.strip)
        self.register_outputs({"public_key": self.public_key})


def machine_place(
    settings: Settings,
    node: ProxmoxTarget,
    given: Given,
    providers: list[pulumi.ProviderResource],
    ca: pulumi.Input[str],
) -> Ground:
    """The ground of a layer on `node`, which the settings name."""
    common = settings.common
    if given.proxmox_api_token is None:
        raise ValueError("there is no API token of the node")
    providers = [
        *providers,
        provider("proxmox", node, given.proxmox_api_token),
        command.Provider("command"),
    ]
    protect = pulumi.ResourceOptions(providers=providers, protect=common.protect)
    key = MachineKey("machines", protect)
    args = MachineArgs(
        node=node,
        domain=common.domain,
        protect=common.protect,
        unpinned=common.unpinned_downloads,
        private_key=key.private_key,
        public_key=key.public_key,
        providers=providers,
        common={
            "common_hosts": {str(a): list(names) for a, names in hosts(settings).items()},
            "common_timezone": common.timezone,
            "common_ca": ca,
        },
    )
    return Ground(place=MachinePlace(args=args), providers=providers)
