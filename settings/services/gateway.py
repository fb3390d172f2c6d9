"""The gateway's settings and declaration."""

from pydantic import Field

from settings.base import Container, Model, Port
from settings.service import Listener, Service


class Gateway(Model):
    """nginx in front of every web page, with the lab's certificate."""

    port: Port = Field(description="HTTPS for every web page")
    container: Container


SERVICE = Service(
    key="services.gateway",
    settings=Gateway,
    order=70,
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
