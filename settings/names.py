"""The one table of names, addresses and ports.

From it come the machines' and laptops' hosts files, the containers' aliases, the names in
certificates and the gateway's routes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Literal

from settings.machines import Machine

if TYPE_CHECKING:
    from settings import Settings

Exposure = Literal["machine", "gateway", "docker"]


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service's entry in the table.

    exposure says who answers for it in the lab: a machine of its own, the gateway (TLS ends
    there), or a port of the Docker host.
    """

    name: str
    layer: str
    scheme: str
    port: "Callable[[Settings], int]"
    exposure: Exposure
    machine: "Callable[[Settings], Machine | None]" = lambda settings: (
        settings.platform.docker.machine
    )
    inner_port: int | None = None  # inside the containers' network, where it differs from `port`
    label: str = ""  # what people call its web page; empty for what has none


SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        Service(
            name="store",
            layer="foundation",
            scheme="https",
            port=lambda s: s.foundation.object_store.port,
            exposure="machine",
            machine=lambda s: s.foundation.object_store.machine,
            inner_port=9000,
        ),
        Service(
            name="store-console",
            layer="foundation",
            scheme="https",
            port=lambda s: s.foundation.object_store.console_port,
            exposure="machine",
            machine=lambda s: s.foundation.object_store.machine,
            inner_port=9001,
            label="Object store",
        ),
        Service(
            name="vault",
            layer="foundation",
            scheme="https",
            port=lambda s: s.foundation.vault.port,
            exposure="machine",
            machine=lambda s: s.foundation.vault.machine,
            inner_port=8200,
            label="Vault",
        ),
        Service(
            name="cache",
            layer="foundation",
            scheme="http",
            port=lambda s: s.foundation.cache.port,
            exposure="machine",
            machine=lambda s: s.foundation.cache.machine,
            inner_port=8480,
            label="Package cache",
        ),
        Service(
            name="docker",
            layer="platform",
            scheme="tcp",
            port=lambda s: s.platform.docker.port,
            exposure="machine",
        ),
        Service(
            name="gitlab",
            layer="platform",
            scheme="",
            port=lambda s: s.platform.gitlab.port,
            exposure="machine",
            machine=lambda s: s.platform.gitlab.machine,
            label="GitLab",
        ),
        Service(
            name="registry",
            layer="platform",
            scheme="",
            port=lambda s: s.platform.gitlab.registry_port,
            exposure="machine",
            machine=lambda s: s.platform.gitlab.machine,
        ),
        Service(
            name="postgresql",
            layer="services",
            scheme="postgresql",
            port=lambda s: s.services.postgresql.port,
            exposure="docker",
            inner_port=5432,
        ),
        Service(
            name="kafka",
            layer="services",
            scheme="kafka",
            port=lambda s: s.services.kafka.port,
            exposure="docker",
            inner_port=29092,
        ),
        Service(
            name="mlflow",
            layer="services",
            scheme="http",
            port=lambda s: s.services.mlflow.port,
            exposure="gateway",
            inner_port=5000,
            label="MLflow",
        ),
        Service(
            name="ollama",
            layer="services",
            scheme="http",
            port=lambda s: s.services.ollama.port,
            exposure="gateway",
            inner_port=11434,
        ),
        Service(
            name="open-webui",
            layer="services",
            scheme="http",
            port=lambda s: s.services.open_webui.port,
            exposure="gateway",
            inner_port=8080,
            label="Open WebUI",
        ),
        Service(
            name="portainer",
            layer="services",
            scheme="https",
            port=lambda s: s.services.portainer.port,
            exposure="gateway",
            inner_port=9443,
            label="Portainer",
        ),
        Service(
            name="gateway",
            layer="services",
            scheme="https",
            port=lambda s: s.services.gateway.port,
            exposure="docker",
            inner_port=8443,
            label="Start page",
        ),
        Service(
            name="model-server",
            layer="apps",
            scheme="http",
            port=lambda s: s.apps.model_server.port,
            exposure="gateway",
            inner_port=8000,
            label="Model server",
        ),
        Service(
            name="web",
            layer="apps",
            scheme="http",
            port=lambda s: s.apps.web.port,
            exposure="gateway",
            inner_port=3000,
            label="Web application",
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a service answers: to people and programs outside, and to containers inside."""

    name: str
    scheme: str
    host: str
    port: int
    address: IPv4Address  # of whoever listens; providers use it, as DNS may not know the lab yet
    inner_scheme: str
    inner_host: str
    inner_port: int
    label: str

    @property
    def url(self) -> str:
        """The address for people and for programs outside of the containers' network."""
        return _url(self.scheme, self.host, self.port)

    @property
    def inner_url(self) -> str:
        """The address for containers."""
        return _url(self.inner_scheme, self.inner_host, self.inner_port)


def _url(scheme: str, host: str, port: int) -> str:
    default = {"http": 80, "https": 443}.get(scheme)
    return f"{scheme}://{host}" if port == default else f"{scheme}://{host}:{port}"


def certificate_names(settings: "Settings", name: str) -> tuple[list[str], list[str]]:
    """(DNS names, IP addresses) by which clients may call the service or machine `name`."""
    endpoint = endpoints(settings)[name]
    fqdn = f"{name}.{settings.common.domain}"
    dns = {name, fqdn, "localhost"}
    if name == "gateway":
        dns |= {settings.common.domain, f"*.{settings.common.domain}"}
    return sorted(dns), sorted({"127.0.0.1", str(endpoint.address)})


def endpoints(settings: "Settings") -> dict[str, Endpoint]:
    """Every service that these settings switch on, by name."""
    found = {name: _endpoint(settings, service) for name, service in SERVICES.items()}
    if settings.common.place == "docker":
        del found["docker"]  # the local engine is reached as the user's own tools reach it
    if not settings.platform.gitlab.enabled:
        del found["gitlab"], found["registry"]
    return found


def _endpoint(settings: "Settings", service: Service) -> Endpoint:
    port, domain = service.port(settings), settings.common.domain
    inner_port = service.inner_port or port
    fqdn = f"{service.name}.{domain}"
    engine = settings.common.engine
    if engine is not None:
        # GitLab writes its own address into links, clones and tokens: one name in and outside.
        own = {"gitlab": ("http", fqdn), "registry": ("http", "localhost")}
        scheme, host = own.get(service.name, (service.scheme, "localhost"))
        inner_host = fqdn if service.name in own else service.name
        inner_host = "store" if service.name == "store-console" else inner_host
        return Endpoint(
            name=service.name,
            scheme=scheme,
            host=host,
            port=port,
            address=engine.address,
            inner_scheme=scheme,
            inner_host=inner_host,
            inner_port=inner_port,
            label=service.label,
        )
    machine = service.machine(settings)
    if machine is None:
        raise LookupError(f"{service.name} has no machine: settings were not checked")
    scheme = service.scheme or "https"
    inside = service.exposure != "machine"
    outer_port = settings.services.gateway.port if service.exposure == "gateway" else port
    return Endpoint(
        name=service.name,
        scheme="https" if service.exposure == "gateway" else scheme,
        host="store." + domain if service.name == "store-console" else fqdn,
        port=outer_port,
        address=machine.address,
        inner_scheme=scheme,
        inner_host=service.name if inside else fqdn,
        inner_port=inner_port if inside else port,
        label=service.label,
    )


def hosts(settings: "Settings") -> dict[IPv4Address, tuple[str, ...]]:
    """Address -> names, as in a hosts file; the machine's own name stands first."""
    found: dict[IPv4Address, list[str]] = {}
    for endpoint in endpoints(settings).values():
        if endpoint.host == "localhost":
            continue
        found.setdefault(endpoint.address, []).append(endpoint.host)
    gateway = endpoints(settings)["gateway"]
    if gateway.host != "localhost":
        found[gateway.address].append(settings.common.domain)
    return {address: tuple(dict.fromkeys(names)) for address, names in found.items()}
