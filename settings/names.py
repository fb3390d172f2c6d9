"""Names, addresses and ports, from the services' declarations.

From them come the machines' and laptops' hosts files, the containers' aliases, the names in
certificates and the gateway's routes.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from operator import attrgetter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from settings.declarations import SERVICES
from settings.machines import Machine
from settings.sections import sections
from settings.service import Exposure, Listener, Service
from settings.services.gateway import Gateway
from settings.switches import on

if TYPE_CHECKING:
    from settings import Settings


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: a name under which a service answers.

    port_key and machine_key are dotted keys of the settings.
    """

    service: Service
    listener: Listener

    @property
    def exposure(self) -> Exposure:
        """Who answers for it in the lab."""
        return self.listener.exposure

    @property
    def port_key(self) -> str:
        """The setting of its port."""
        return f"{self.service.key}.{self.listener.port_setting}"

    @property
    def machine_key(self) -> str:
        """The setting of the machine that answers for it in the lab."""
        own = self.exposure == "machine"
        return f"{self.service.key}.machine" if own else "platform.docker.machine"

    def port(self, settings: "Settings") -> int:
        """The port that the settings give it; of what is internal its own."""
        if self.exposure == "internal" and self.listener.inner_port:
            return self.listener.inner_port
        port: int = attrgetter(self.port_key)(settings)
        return port

    def published(self, *, docker: bool) -> bool:
        """Whether its host publishes its port, on target `docker` or on `proxmox`.

        Nothing that is internal, nothing that `dev` does not have, and in the lab nothing that the
        gateway answers for.
        """
        if self.exposure == "internal":
            return False
        return bool(self.listener.in_dev) if docker else self.exposure != "gateway"

    def machine(self, settings: "Settings") -> Machine:
        """The machine that answers for it, where the target is a node (rules.homes)."""
        machine: Machine = attrgetter(self.machine_key)(settings)
        return machine


LOOPBACK = IPv4Address("127.0.0.1")  # what localhost means everywhere
ROWS = {
    listener.name: Row(service=service, listener=listener)
    for service in SERVICES
    for listener in service.listeners
}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a service answers: to people and programs outside, and to containers inside."""

    scheme: str
    host: str
    port: int
    address: IPv4Address  # of its host; providers use it, as DNS may not know the lab yet
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

    @property
    def netloc(self) -> str:
        """host:port, as a URL has them, outside of the containers' network."""
        return f"{self.host}:{self.port}"

    @property
    def reached(self) -> str:
        """address:port, for clients whose DNS may not know the lab."""
        return f"{self.address}:{self.port}"

    @property
    def inner_netloc(self) -> str:
        """host:port for containers."""
        return f"{self.inner_host}:{self.inner_port}"


def _url(scheme: str, host: str, port: int) -> str:
    default = {"http": 80, "https": 443}.get(scheme)
    return f"{scheme}://{host}" if port == default else f"{scheme}://{host}:{port}"


def service_at(settings: "Settings", url: str) -> str | None:
    """The service of these settings that answers at `url`, by any of its names."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    for name, endpoint in endpoints(settings).items():
        names = {endpoint.host, str(endpoint.address)}
        if "localhost" in names:
            names.add("127.0.0.1")
        inner = (endpoint.inner_host, endpoint.inner_port)
        if (parts.hostname, port) == inner or (parts.hostname in names and port == endpoint.port):
            return name
    return None


def certificate_names(settings: "Settings", name: str) -> tuple[list[str], list[str]]:
    """(DNS names, IP addresses) by which clients may call the service or machine `name`."""
    endpoint = endpoints(settings)[name]
    # All that answers there has one certificate, as GitLab's registry has GitLab's.
    together = {listener.host or listener.name for listener in ROWS[name].service.listeners}
    dns = {name, "localhost", *(f"{host}.{settings.common.domain}" for host in together)}
    if name == "gateway":
        dns |= {settings.common.domain, f"*.{settings.common.domain}"}
    return sorted(dns), sorted({"127.0.0.1", str(endpoint.address)})


def endpoints(settings: "Settings") -> dict[str, Endpoint]:
    """Every service that these settings switch on, by name."""
    dev, there = settings.common.target.kind == "docker", sections(settings)
    return {
        name: _endpoint(settings, row)
        for name, row in ROWS.items()
        if on(row.service.key, there) and (row.listener.in_dev or not dev)
    }


def _endpoint(settings: "Settings", row: Row) -> Endpoint:
    listener = row.listener
    port, domain = row.port(settings), settings.common.domain
    inner_port = listener.inner_port or port
    host_name = listener.host or listener.name
    fqdn = f"{host_name}.{domain}"
    target = settings.common.target
    if listener.exposure == "internal":
        return Endpoint(
            scheme=listener.scheme,
            host=host_name,
            port=port,
            address=LOOPBACK,
            inner_scheme=listener.scheme,
            inner_host=host_name,
            inner_port=port,
            label=listener.label,
        )
    if target.kind == "docker":
        # Where its ports are published, and nowhere else.
        here = "localhost" if target.address == LOOPBACK else str(target.address)
        host = {"address": here, "name": fqdn}.get(listener.in_dev, listener.in_dev)
        inner_host = host_name if listener.in_dev == "address" else fqdn
        scheme = listener.scheme or "http"
        return Endpoint(
            scheme=scheme,
            host=host,
            port=port,
            address=LOOPBACK if listener.in_dev == "localhost" else target.address,
            inner_scheme=scheme,
            inner_host=inner_host,
            inner_port=inner_port,
            label=listener.label,
        )
    machine = row.machine(settings)
    scheme = listener.scheme or "https"
    inside = listener.exposure != "machine"
    outer_port = settings.get(Gateway).port if listener.exposure == "gateway" else port
    return Endpoint(
        scheme="https" if listener.exposure == "gateway" else scheme,
        host=fqdn,
        port=outer_port,
        address=machine.address,
        inner_scheme=scheme,
        inner_host=host_name if inside else fqdn,
        inner_port=inner_port if inside else port,
        label=listener.label,
    )


def hosts(settings: "Settings") -> dict[IPv4Address, tuple[str, ...]]:
    """Address -> names, as in a hosts file; the machine's own name stands first."""
    found: dict[IPv4Address, list[str]] = {}
    for endpoint in endpoints(settings).values():
        if not endpoint.host.endswith(f".{settings.common.domain}"):
            continue  # `dev` has no name for it
        found.setdefault(endpoint.address, []).append(endpoint.host)
    gateway = endpoints(settings).get("gateway")
    if gateway and gateway.host == f"gateway.{settings.common.domain}":
        found[gateway.address].append(settings.common.domain)
    return {address: tuple(dict.fromkeys(names)) for address, names in found.items()}


def addresses(settings: "Settings") -> dict[str, str]:
    """Name -> address of everything that has a name outside of the containers' network."""
    return {name: str(address) for address, names in hosts(settings).items() for name in names}


def job_hosts(settings: "Settings") -> dict[str, str]:
    """Name -> address of every service, for CI jobs, which are outside of the containers' network.

    Empty in `dev`, where they are inside.
    """
    if settings.common.target.kind == "docker":
        return {}
    return addresses(settings)


def machine_hosts(settings: "Settings") -> dict[str, str]:
    """Name -> address of the machines' services, for containers, which no DNS server tells them.

    Empty in `dev`, whose network knows every name.
    """
    if settings.common.target.kind == "docker":
        return {}
    return {
        endpoint.inner_host: str(endpoint.address)
        for name, endpoint in endpoints(settings).items()
        if ROWS[name].exposure == "machine"
    }
