"""A DNS server for the lab, on a machine of its own."""

import pulumi
from settings.foundation.resolver import Resolver as Settings

from layers.context import Component, LayerContext
from settings.names import hosts
from targets import Role, Workload


class Resolver(Component):
    """The server; `ready` is known once it answers."""

    TYPE = "datalab:foundation:Resolver"

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        names = {str(address): list(known) for address, known in hosts(context.settings).items()}
        wanted = context.get(Settings)
        role = Role(
            name="resolver", variables={"resolver_names": names, "resolver_port": wanted.port}
        )
        workload = Workload(container=None, machine=wanted.machine, roles=[role])
        self.ready = context.place(self, name, workload)
        self.register_outputs({"ready": self.ready})


COMPONENT = Resolver
