"""The gateway's settings and declaration."""

from typing import Annotated

from pydantic import Field

from settings.base import Container, Port, Switched
from settings.defaults import ByTarget
from settings.service import Listener, Service


class Gateway(Switched):
    """nginx in front of every web page, with the lab's certificate."""

    port: Annotated[Port, ByTarget(docker=8443, proxmox=443)] = Field(
        description="HTTPS for every web page"
    )
    container: Annotated[
        Container, ByTarget(docker={"memory_mib": 64}, proxmox={"memory_mib": 128})
    ]


SERVICE = Service(
    key="services.gateway",
    settings=Gateway,
    order=70,
    image="nginx",
    listeners=(
        Listener(
            name="gateway",
            scheme="https",
            exposure="docker",
            inner_port=8443,
            label="Start page",
            certificate=True,
        ),
    ),
)
