"""The settings and declaration of whoami, a page that shows the request that it got."""

from typing import Annotated

from settings.base import Container, Port, Switched
from settings.defaults import always
from settings.service import Listener, Service


class Whoami(Switched):
    """A page that shows the request that it got."""

    port: Port = 8600
    container: Annotated[Container, always({"memory_mib": 32})]


SERVICE = Service(
    key="apps.whoami",
    settings=Whoami,
    order=90,
    listeners=(
        Listener(
            name="whoami",
            scheme="https",
            exposure="gateway",
            inner_port=8443,
            label="Who am I",
            page="/health",
            certificate=True,
        ),
    ),
)
