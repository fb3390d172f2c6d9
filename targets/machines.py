"""Machines: an LXC or a VM on the node, and the roles that make it a service."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import pulumi
import pulumi_tls as tls

from settings import images
from settings.machines import Lxc as LxcSettings
from settings.machines import Vm
from settings.target import ProxmoxTarget
from targets import Role, Workload
from targets.ansible import Configuration, ConfigurationArgs, Host, HostArgs
from targets.downloads import require_checksums
from targets.guests import Lxc, LxcArgs, VirtualMachine, VirtualMachineArgs
from targets.proxmox import Image, ImageArgs, Kind, PciMapping, PciMappingArgs

_IMAGES: dict[Kind, str] = {"template": "ubuntu-lxc", "disk": "ubuntu-vm"}


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


@dataclass(frozen=True, kw_only=True)
class MachineArgs:
    """What the machines of one layer share.

    private_key and public_key are OpenSSH; providers are passed to the images that the machines
    need. common are the variables of role `common`, apart from the machine's own name.
    """

    node: ProxmoxTarget
    domain: str
    protect: bool
    unpinned: Literal["refuse", "allow"]
    private_key: pulumi.Input[str]
    public_key: pulumi.Input[str]
    providers: list[pulumi.ProviderResource]
    common: Mapping[str, pulumi.Input[Any]]


@dataclass(frozen=True, kw_only=True)
class MachineRuntime:
    """Runs workloads as machines; hosts and images are those made so far, by name."""

    args: MachineArgs
    hosts: dict[str, Host] = field(default_factory=dict)
    images: dict[Kind, Image] = field(default_factory=dict)

    def run(self, parent: pulumi.Resource, name: str, workload: Workload) -> pulumi.Output[str]:
        """See targets.Runtime; what is known in the end is the machine's address."""
        roles = list(workload.roles)
        if workload.machine is not None:
            self.hosts[name] = self._host(parent, name, workload.machine)
            hostname = f"{name}.{self.args.domain}"
            common = {**self.args.common, "common_hostname": hostname}
            roles.insert(0, Role(name="common", variables=common))
        else:
            # Its machine got role `common` in another run.
            mirrors = {"common_mirrors": self.args.common.get("common_mirrors", {})}
            roles = [replace(role, variables={**mirrors, **role.variables}) for role in roles]
        host = self.hosts[workload.on or name]
        require_checksums(roles, self.args.unpinned)
        args = ConfigurationArgs(host=host, roles=roles)
        return Configuration(name, args, pulumi.ResourceOptions(parent=parent)).done

    def behind(self, mirrors: pulumi.Input[dict[str, str]]) -> Self:
        """The same place, whose machines install through mirrors; see role `common`."""
        common = {**self.args.common, "common_mirrors": mirrors}
        return replace(self, args=replace(self.args, common=common))

    def _host(self, parent: pulumi.Resource, name: str, machine: LxcSettings | Vm) -> Host:
        made = self._machine(parent, name, machine)
        return Host(
            name,
            HostArgs(
                address=made.address,
                user=made.user,
                private_key=self.args.private_key,
                resource=made.resource,
                boot=made.boot,
            ),
            pulumi.ResourceOptions(parent=parent),
        )

    def _machine(
        self, parent: pulumi.Resource, name: str, machine: LxcSettings | Vm
    ) -> Lxc | VirtualMachine:
        args = self.args
        image = self._image("template" if isinstance(machine, LxcSettings) else "disk")
        needed: list[pulumi.Resource] = [image]
        if isinstance(machine, Vm):
            needed += [self._mapping(name) for name in machine.devices]
        opts = pulumi.ResourceOptions(parent=parent, protect=args.protect, depends_on=needed)
        if isinstance(machine, LxcSettings):
            lxc = LxcArgs(
                node=args.node,
                machine=machine,
                template=image.volume,
                public_key=args.public_key,
                domain=args.domain,
            )
            return Lxc(name, lxc, opts)
        vm = VirtualMachineArgs(
            node=args.node,
            machine=machine,
            image=image.volume,
            public_key=args.public_key,
            domain=args.domain,
        )
        return VirtualMachine(name, vm, opts)

    def _image(self, kind: Kind) -> Image:
        if kind not in self.images:
            name = _IMAGES[kind]
            self.images[kind] = Image(
                name,
                ImageArgs(
                    node=self.args.node,
                    kind=kind,
                    download=images.download(name),
                    unpinned=self.args.unpinned,
                ),
                pulumi.ResourceOptions(providers=self.args.providers),
            )
        return self.images[kind]

    def _mapping(self, name: str) -> PciMapping:
        return PciMapping(
            name,
            PciMappingArgs(node=self.args.node, device=self.args.node.pci[name]),
            pulumi.ResourceOptions(providers=self.args.providers),
        )
