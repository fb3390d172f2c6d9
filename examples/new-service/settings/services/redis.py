"""Redis' settings and declaration."""

from typing import Annotated

from settings.base import Container, Switched
from settings.defaults import always
from settings.service import Listener, Service, secrets


class Redis(Switched):
    """Redis, a store in memory for applications."""

    container: Annotated[Container, always({"memory_mib": 64})]


SERVICE = Service(
    key="services.redis",
    settings=Redis,
    order=90,
    listeners=(
        Listener(
            name="redis",
            scheme="redis",
            exposure="internal",
            inner_port=6379,
            label="Redis",
            page="",
        ),
    ),
    secrets=secrets("redis"),
)
