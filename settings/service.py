"""What a service says of itself, once; addresses, secrets, certificates and probes follow from it.

The declarations stand beside the services' settings: `SERVICES` in settings/foundation.py,
platform.py, services.py and apps.py. settings/declarations.py collects them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

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
    """A service: the section of the settings that it has, where it answers, its secrets."""

    layer: str
    section: str
    listeners: tuple[Listener, ...] = ()
    secrets: tuple[Secret, ...] = ()
    # Port -> what of it listens there, on its machine; nothing can be published on these.
    own_ports: Mapping[int, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The dotted key of its section."""
        return f"{self.layer}.{self.section}"


def secrets(*names: str) -> tuple[Secret, ...]:
    """Secrets that can be rotated."""
    return tuple(Secret(name=name) for name in names)
