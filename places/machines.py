"""Runs workloads as machines of a Proxmox VE node: made by Pulumi, kept by Ansible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from places import Role, Workload
from places.ansible import Configuration, ConfigurationArgs, Host, HostArgs
from places.proxmox import Lxc, LxcArgs, VirtualMachine, VirtualMachineArgs
from settings import machines

# Without any swap a VM that runs short freezes: kswapd spins (seen with GitLab). LXCs have none.
VM_SWAP_MIB = 2048


@dataclass(frozen=True, kw_only=True)
class ProxmoxPlace:
    """A node, what machines there are made from, and what all of them have in common.

    template and image are volumes of places.proxmox.Image; common are the variables of the role
    `common` but for those that differ by machine.
    """

    node: machines.Node
    template: str
    image: str
    private_key: pulumi.Input[str]  # OpenSSH
    public_key: pulumi.Input[str]
    domain: str
    protect: bool
    common: Mapping[str, pulumi.Input[Any]]

    def run(
        self, name: str, workload: Workload, opts: pulumi.ResourceOptions
    ) -> pulumi.Output[str]:
        """See places.Place; what is known in the end is the machine's address."""
        if workload.machine is None:
            raise ValueError(f"{name} has no machine: the settings were not checked")
        host = self.host(name, workload.machine, opts)
        return self.configure(name, workload.machine, host, (workload.role,), opts)

    def host(self, name: str, machine: machines.Machine, opts: pulumi.ResourceOptions) -> Host:
        """A machine that answers to SSH."""
        kept = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=self.protect))
        made: Lxc | VirtualMachine
        if isinstance(machine, machines.Vm):
            vm = VirtualMachineArgs(
                node=self.node,
                machine=machine,
                image=self.image,
                public_key=self.public_key,
                domain=self.domain,
                gpu=machine.gpu,
            )
            made = VirtualMachine(name, vm, kept)
        elif isinstance(machine, machines.Lxc):
            lxc = LxcArgs(
                node=self.node,
                machine=machine,
                template=self.template,
                public_key=self.public_key,
                domain=self.domain,
            )
            made = Lxc(name, lxc, kept)
        else:
            raise TypeError(f"{name} is neither an LXC nor a VM")
        args = HostArgs(
            address=made.address,
            user=made.user,
            private_key=self.private_key,
            resource=made.resource,
        )
        return Host(name, args, opts)

    def configure(
        self,
        name: str,
        machine: machines.Machine,
        host: Host,
        roles: Sequence[Role],
        opts: pulumi.ResourceOptions,
    ) -> pulumi.Output[str]:
        """`common` and then `roles` applied to a machine; its address, known once that was done.

        Further roles of the same machine are a Configuration of their own.
        """
        common = Role(
            name="common",
            variables={
                **self.common,
                "common_hostname": f"{name}.{self.domain}",
                "common_swap_mib": VM_SWAP_MIB if isinstance(machine, machines.Vm) else 0,
            },
        )
        return Configuration(name, ConfigurationArgs(host=host, roles=(common, *roles)), opts).done
