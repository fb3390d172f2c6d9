"""Portainer's settings and declaration."""

from typing import Annotated

from settings.base import Container, Port, Switched
from settings.defaults import always
from settings.service import Listener, Login, Secret, Service


class Portainer(Switched):
    """Portainer, a web interface for the Docker host."""

    port: Port = 9443
    container: Annotated[Container, always({"memory_mib": 256})]


SERVICE = Service(
    key="services.portainer",
    settings=Portainer,
    order=60,
    listeners=(
        Listener(
            name="portainer",
            credential="a user with a password",
            scheme="https",
            exposure="gateway",
            inner_port=9443,
            label="Portainer",
            page="/api/system/status",
            certificate=True,
        ),
    ),
    secrets=(Secret(name="portainer-admin", first_login_of="Portainer"),),
    login=Login(secret="portainer-admin", listener="portainer", user="admin"),  # noqa: S106 - a name
)
