"""The one table of names, addresses and ports.

From it come the machines' and laptops' hosts files, the containers' aliases, the names in
certificates and the gateway's routes.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from settings.machines import Machine

if TYPE_CHECKING:
    from settings import Settings

Exposure = Literal["machine", "gateway", "docker"]


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service's entry in the table.

    exposure says who answers for it in the lab: a machine of its own, the gateway (TLS ends
    there), or a port of the Docker host. port_key and machine_key are dotted keys of the settings.
    """

    name: str
    scheme: str
    port_key: str
    exposure: Exposure
    machine_key: str = "platform.docker.machine"
    inner_port: int | None = None  # inside the containers' network, where it differs from `port`
    label: str = ""  # what people call its web page; empty for what has none

    def port(self, settings: "Settings") -> int:
        """The port that the settings give it."""
        port: int = attrgetter(self.port_key)(settings)
        return port

    def machine(self, settings: "Settings") -> Machine | None:
        """The machine that answers for it in the lab; None in `dev`."""
        machine: Machine | None = attrgetter(self.machine_key)(settings)
        return machine


def _own(name: str, key: str, scheme: str, section: str, **more: Any) -> Service:
    """A service that answers on a machine of its own: `section`'s."""
    return Service(
        name=name,
        scheme=scheme,
        port_key=f"{section}.{key}",
        exposure="machine",
        machine_key=f"{section}.machine",
        **more,
    )


def _container(name: str, scheme: str, exposure: Exposure, inner: int, label: str = "") -> Service:
    """A service of layers 3 and 4: a container on the Docker host."""
    layer = "apps" if name in ("model-server", "web") else "services"
    return Service(
        name=name,
        scheme=scheme,
        port_key=f"{layer}.{name.replace('-', '_')}.port",
        exposure=exposure,
        inner_port=inner,
        label=label,
    )


_STORE = "foundation.object_store"
_GITLAB = "platform.gitlab"
SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        _own("store", "port", "https", _STORE, inner_port=9000),
        _own(
            "store-console", "console_port", "https", _STORE, inner_port=9001, label="Object store"
        ),
        _own("vault", "port", "https", "foundation.vault", inner_port=8200, label="Vault"),
        _own("cache", "port", "http", "foundation.cache", inner_port=8480, label="Package cache"),
        _own("docker", "port", "tcp", "platform.docker"),
        # Their scheme is the place's: https on the VM, http in `dev`.
        _own("gitlab", "port", "", _GITLAB, label="GitLab"),
        _own("registry", "registry_port", "", _GITLAB),
        _container("postgresql", "postgresql", "docker", 5432),
        _container("kafka", "kafka", "docker", 29092),
        _container("mlflow", "http", "gateway", 5000, "MLflow"),
        _container("ollama", "http", "gateway", 11434),
        _container("open-webui", "http", "gateway", 8080, "Open WebUI"),
        _container("portainer", "https", "gateway", 9443, "Portainer"),
        _container("gateway", "https", "docker", 8443, "Start page"),
        _container("model-server", "http", "gateway", 8000, "Model server"),
        _container("web", "http", "gateway", 3000, "Web application"),
    )
}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a service answers: to people and programs outside, and to containers inside."""

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
    if name == "gitlab":
        dns.add(f"registry.{settings.common.domain}")
    if name == "gateway":
        dns |= {settings.common.domain, f"*.{settings.common.domain}"}
    return sorted(dns), sorted({"127.0.0.1", str(endpoint.address)})


def endpoints(settings: "Settings") -> dict[str, Endpoint]:
    """Every service that these settings switch on, by name."""
    off = set() if settings.platform.gitlab.enabled else {"gitlab", "registry"}
    if settings.common.place == "docker":
        off.add("docker")  # the local engine is reached as the user's own tools reach it
    return {name: _endpoint(settings, s) for name, s in SERVICES.items() if name not in off}


def _endpoint(settings: "Settings", service: Service) -> Endpoint:
    port, domain = service.port(settings), settings.common.domain
    inner_port = service.inner_port or port
    host_name = "store" if service.name == "store-console" else service.name
    fqdn = f"{host_name}.{domain}"
    engine = settings.common.engine
    if engine is not None:
        # GitLab writes its own address into links, clones and tokens: one name in and outside.
        own = {"gitlab": ("http", fqdn), "registry": ("http", "localhost")}
        scheme, host = own.get(service.name, (service.scheme, "localhost"))
        inner_host = fqdn if service.name in own else host_name
        return Endpoint(
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
        scheme="https" if service.exposure == "gateway" else scheme,
        host=fqdn,
        port=outer_port,
        address=machine.address,
        inner_scheme=scheme,
        inner_host=host_name if inside else fqdn,
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


def job_hosts(settings: "Settings") -> dict[str, str]:
    """Name -> address of every service, for CI jobs, which are outside of the containers' network.

    Empty in `dev`, where they are inside.
    """
    if settings.common.place == "docker":
        return {}
    return {name: str(address) for address, names in hosts(settings).items() for name in names}


def machine_hosts(settings: "Settings") -> dict[str, str]:
    """Name -> address of the machines' services, for containers, which no DNS server tells them.

    Empty in `dev`, whose network knows every name.
    """
    if settings.common.place == "docker":
        return {}
    return {
        endpoint.inner_host: str(endpoint.address)
        for name, endpoint in endpoints(settings).items()
        if SERVICES[name].exposure == "machine"
    }
