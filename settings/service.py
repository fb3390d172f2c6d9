"""What a service says of itself, once; addresses, secrets, certificates and probes follow from it.

A module of settings/<layer>/ holds a service's settings and its declaration, `SERVICE`.
settings/declarations.py finds them, so that nothing lists them again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from settings.base import Model

Exposure = Literal["machine", "gateway", "docker"]


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A password that Pulumi generates and gives to the service."""

    name: str
    # The server that takes it only while it has no user yet, and keeps it in its data: such a
    # secret cannot be rotated. Empty for every other secret.
    first_login_of: str = ""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """One name under which a service answers, and its port."""

    name: str
    scheme: str  # empty for the target's: https on a machine, http in `dev`
    # Who answers in the lab: a machine of its own, the gateway (TLS ends there), or a port of the
    # Docker host.
    exposure: Exposure
    port_setting: str = "port"
    inner_port: int | None = None  # inside the containers' network, where it differs
    label: str = ""  # of its link on the start page; empty for what has no page
    page: str = "/"  # the page that proves that it works, and not only listens
    certificate: bool = False  # whether it presents one of its own


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service: its section of the settings, where it answers, its secrets."""

    key: str  # of its section, as in services.kafka; its module has the same name
    settings: type[Model]
    order: int  # among the services of its layer, in tables and on the start page
    default: Model | None = None  # its section where the settings have none; None: it is required
    description: str | None = None  # of the section, where the model's docstring does not say it
    listeners: tuple[Listener, ...] = ()
    secrets: tuple[Secret, ...] = ()
    # Port -> what of it listens there, on its machine; nothing can be published on these.
    own_ports: Mapping[int, str] = field(default_factory=dict)

    @property
    def layer(self) -> str:
        """The layer that it belongs to."""
        return self.key.partition(".")[0]

    @property
    def section(self) -> str:
        """The key of its section within its layer."""
        return self.key.partition(".")[2]


def secrets(*names: str) -> tuple[Secret, ...]:
    """Secrets that can be rotated."""
    return tuple(Secret(name=name) for name in names)
