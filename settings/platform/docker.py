"""The Docker host's settings and declaration."""

from ipaddress import IPv4Network

from pydantic import Field

from settings.base import MOST_MIB, Model, Name, Port
from settings.machines import Vm
from settings.service import Listener, Service


class Network(Model):
    """The containers' network."""

    name: Name = Field(default="datalab", description="Name of the network in Docker")
    subnet: IPv4Network = Field(
        default=IPv4Network("172.30.0.0/24"), description="Must not overlap the node's network"
    )


class DockerHost(Model):
    """Where containers run: the local engine, or a VM."""

    network: Network = Network()
    port: Port = Field(default=2376, description="The engine's API over mutual TLS on the VM")
    machine: Vm | None = None
    reserved_mib: int = Field(
        default=512,
        ge=128,
        le=MOST_MIB,
        description="Memory of the host that containers may not use",
    )


SERVICE = Service(
    key="platform.docker",
    settings=DockerHost,
    order=10,
    listeners=(
        Listener(
            name="docker",
            credential="a client certificate of the lab's CA; it is root there",
            scheme="tcp",
            exposure="machine",
            in_dev="",
            certificate=True,
        ),
    ),
)
