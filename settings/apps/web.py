"""The web application's settings and declaration."""

from typing import Annotated

from settings import images
from settings.base import Container, Port, Switched
from settings.defaults import always
from settings.recipe import Recipe
from settings.service import Listener, Service


class Web(Switched):
    """The NodeJS web application."""

    port: Port = 3000
    container: Annotated[Container, always({"memory_mib": 256})]


def recipe() -> Recipe:
    """What the web page's image is built from."""
    return Recipe(context="apps/web", base={"NODE_IMAGE": images.image("node")})


SERVICE = Service(
    key="apps.web",
    settings=Web,
    order=20,
    needs=("apps.model_server",),
    listeners=(
        Listener(
            name="web",
            scheme="http",
            exposure="gateway",
            inner_port=3000,
            label="Web application",
            page="/health",
        ),
    ),
    images={"web": recipe},
)
