"""What a service says of itself, once; addresses, secrets, certificates and probes follow from it.

A module of settings/<layer>/ holds a service's settings and its declaration, `SERVICE`.
settings/declarations.py finds them, so that nothing lists them again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from settings.base import Model
from settings.recipe import Recipe
from settings.sections import Rule

# Who answers for it in the lab: a machine of its own, the gateway (TLS ends there), or a port of
# the Docker host; `internal` is for containers only, in both environments.
Exposure = Literal["machine", "gateway", "docker", "internal"]


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
    exposure: Exposure
    port_setting: str = "port"
    # Inside the containers' network, where it differs; of what is internal the only one.
    inner_port: int | None = None
    host: str = ""  # the host's name, where it is another than its own
    # How `dev` calls it: by the engine's address, by its full name inside and outside, or by
    # localhost whatever the address is. Empty for what `dev` does not have.
    in_dev: Literal["address", "name", "localhost", ""] = "address"
    label: str = ""  # on the start page; empty for what is not there
    # The page that proves that it works, and not only listens; empty for what has no pages.
    page: str = "/"
    host_header: str = "$http_host"  # the Host that the gateway sends on, in nginx's words
    certificate: bool = False  # whether it presents one of its own
    # What it asks everybody for, in docs/security.md; empty where it asks for nothing.
    credential: str = ""


@dataclass(frozen=True, kw_only=True)
class Login:
    """How a person administers the service: a user with a secret, at one of its listeners."""

    secret: str
    listener: str
    user: str = ""
    user_setting: str = ""  # the setting that has the user's name, where a person may choose it


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service: its section of the settings, where it answers, its secrets."""

    key: str  # of its section, as in services.kafka; its module has the same name
    settings: type[Model]
    order: int  # among the services of its layer, in tables and on the start page
    default: Model | None = None  # where there is no section; None: what its model has by default
    description: str | None = None  # of the section, where the model's docstring does not say it
    # Keys of services without which it cannot run; settings/switches.py knows of the gateway too.
    needs: tuple[str, ...] = ()
    part_of: str = ""  # the service that it is switched off with; it has no switch of its own
    listeners: tuple[Listener, ...] = ()
    secrets: tuple[Secret, ...] = ()
    # Names of those that entries of its settings ask for, such as databases; all can be rotated.
    entry_secrets: Callable[[Any], tuple[str, ...]] = lambda _: ()
    login: Login | None = None
    # Image that the lab builds -> its recipe, asked for when it is needed: it reads images.yaml.
    images: Mapping[str, Callable[[], Recipe]] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()  # on its settings, alone or against those that it needs
    # What its container runs, an entry of `images` or of images.yaml: empty for the one of its own
    # name. image_setting is the setting that has it, where a person may choose.
    image: str = ""
    image_setting: str = ""
    # The same of the containers that the entries of one of its maps may have.
    image_of_entries: str = ""
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

    @property
    def name(self) -> str:
        """Its name in the lab: that of its first listener, else its section's with hyphens."""
        return self.listeners[0].name if self.listeners else self.section.replace("_", "-")


def secrets(*names: str) -> tuple[Secret, ...]:
    """Secrets that can be rotated."""
    return tuple(Secret(name=name) for name in names)
