"""The settings and declaration of a DNS server for the lab, on a machine of its own."""

from settings.base import Model, Port
from settings.machines import Lxc
from settings.service import Listener, Service


class Resolver(Model):
    """A DNS server that knows the lab's names; `dev` has none."""

    port: Port = 53
    machine: Lxc | None = None


SERVICE = Service(
    key="foundation.resolver",
    settings=Resolver,
    order=90,
    listeners=(Listener(name="resolver", scheme="dns", exposure="machine", in_dev="", page=""),),
)
