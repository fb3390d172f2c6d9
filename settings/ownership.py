"""Rules on what can have only one owner: ids, addresses, names, ports, devices, networks."""

from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, collapse_addresses
from operator import attrgetter
from typing import TYPE_CHECKING

from settings.base import walk
from settings.declarations import SERVICES
from settings.machines import Machine, MachineNetwork, Vm
from settings.names import ROWS
from settings.target import ProxmoxTarget

if TYPE_CHECKING:
    from settings import Settings

Fault = tuple[str, str]

SSH_PORT = 22  # Ansible reaches every machine there
PLAIN_DOCKER_PORT = 2375  # by convention the engine's API without TLS
DOCKER_BRIDGE = IPv4Network("172.17.0.0/16")  # what an engine takes for itself
# moby's isPreDefined (daemon/network/network_mode_unix.go): nobody else can make these.
DOCKER_NETWORKS = ("bridge", "default", "host", "none")
# RFC 1918. Python's is_private has more, such as 0.0.0.0/8, where no machine can be.
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
# Role docker_host's docker_host_address_pool: networks that name none, as those of CI's jobs.
DOCKER_POOL = IPv4Network("172.31.0.0/16")
REDIRECT_PORT = 80  # GitLab with TLS answers there and sends to https
LEAST_PREFIX = 27  # more than 27 leaves fewer addresses than the lab has containers


def one_owner(claims: Iterable[tuple[Hashable, str]], what: str) -> Iterator[Fault]:
    """A fault for each value that is claimed again, naming both owners."""
    owners: dict[Hashable, str] = {}
    for value, key in claims:
        owner = owners.setdefault(value, key)
        if owner != key:
            shown = "{1} of {0}".format(*value) if isinstance(value, tuple) else value
            yield key, f"{shown} already belongs to {owner}; give one of them another {what}"


def ids(settings: "Settings") -> Iterator[Fault]:
    """Every machine's id has one owner and lies within `common.target.machine_ids`."""
    yield from one_owner(((m.id, f"{key}.id") for key, m in walk(settings, Machine)), "id")
    node = settings.common.target
    if node.kind == "proxmox":
        first, last = node.machine_ids.first, node.machine_ids.last
        if first > last:
            yield "common.target.machine_ids", f"first, {first}, is above last, {last}; swap them"
            return
        for key, machine in walk(settings, Machine):
            if not first <= machine.id <= last:
                text = f"{machine.id} is outside of common.target.machine_ids, {first} to {last}"
                yield f"{key}.id", text


def addresses(settings: "Settings") -> Iterator[Fault]:
    """Every machine's address has one owner and lies in the node's network.

    It is neither the gateway's, a nameserver's nor the node's, nor the network's own or broadcast.
    """
    node = settings.common.target
    if node.kind != "proxmox":
        return
    taken: dict[Hashable, str] = dict.fromkeys(node.nameservers, "common.target.nameservers")
    with suppress(ValueError):
        taken[IPv4Address(node.endpoint.host or "")] = "common.target.endpoint"
    yield from _gateway("common.target", node)
    taken[node.gateway] = "common.target.gateway"
    machines: list[tuple[Hashable, str]] = []
    for key, machine in walk(settings, Machine):
        machines.append((machine.address, f"{key}.address"))
        lan, owner = machine.lan(node), "common.target"
        if machine.network:
            owner = f"{key}.network"
            yield from _gateway(owner, machine.network)
            if machine.network.gateway == machine.address:
                yield f"{key}.address", f"{machine.address} is {owner}.gateway too; choose another"
        yield from _in_network(f"{key}.address", machine.address, lan.network, owner)
        machines += [
            (IPv4Interface(interface.address).ip, f"{key}.interfaces[{number}].address")
            for number, interface in enumerate(machine.interfaces)
            if interface.address != "dhcp"
        ]
    yield from one_owner([*taken.items(), *machines], "address")


def _gateway(key: str, lan: ProxmoxTarget | MachineNetwork) -> Iterator[Fault]:
    if not lan.gateway_on_link:
        for at, text in _in_network(f"{key}.gateway", lan.gateway, lan.network, key):
            yield at, f"{text}, or set gateway_on_link where the router really is outside"


def _in_network(
    key: str, address: IPv4Address, network: IPv4Network, owner: str
) -> Iterator[Fault]:
    if address not in network:
        yield key, f"{address} is outside of {owner}.network, {network}; choose one within"
    elif address in (network.network_address, network.broadcast_address):
        text = f"{address} is the network's own or broadcast address in {network}"
        yield key, f"{text}; choose another"


def ports(settings: "Settings") -> Iterator[Fault]:
    """Every port of a host has one owner, be it a service that publishes it or one's own part.

    22 is SSH's, GitLab's inner ports and 80 of its machine are taken, and nothing is on 2375.
    """
    docker = settings.common.target.kind == "docker"
    claims: list[tuple[Hashable, str]] = [*_own_ports(docker=docker)]
    if not docker:
        claims += [((key, SSH_PORT), f"{key} (its SSH)") for key, _ in walk(settings, Machine)]
    with suppress(AttributeError):
        if docker and settings.platform.gitlab.enabled:
            key = "platform.gitlab.ssh_port"
            claims.append((("common.target", attrgetter(key)(settings)), key))
    for row in ROWS.values():
        with suppress(AttributeError):  # its section is absent, having faults of its own
            published = row.listener.name != "docker" if docker else row.exposure != "gateway"
            gitlab = row.machine_key.startswith("platform.gitlab")
            if published and (not gitlab or settings.platform.gitlab.enabled):
                host = "common.target" if docker else row.machine_key
                claims.append(((host, row.port(settings)), row.port_key))
                if docker and gitlab:  # as it writes the published port into its links
                    inside = "platform.gitlab.container"
                    claims.append(((inside, row.port(settings)), row.port_key))
    yield from one_owner(claims, "port")
    if settings.platform.docker.port == PLAIN_DOCKER_PORT:
        yield "platform.docker.port", f"{PLAIN_DOCKER_PORT} is for Docker without TLS; use 2376"


def _own_ports(*, docker: bool) -> Iterator[tuple[Hashable, str]]:
    """What services take of their machine themselves.

    In `dev` each has a container, in which only GitLab listens where it is published.
    """
    for service in SERVICES:
        gitlab = service.key == "platform.gitlab"
        if docker and not gitlab:
            continue
        machine = f"{service.key}.{'container' if docker else 'machine'}"
        for port, what in service.own_ports.items():
            yield (machine, port), f"{service.key} ({what})"
        if gitlab:
            port, what = (SSH_PORT, "SSH") if docker else (REDIRECT_PORT, "the way to https")
            yield (machine, port), f"{service.key} ({what})"


def host_names(settings: "Settings") -> Iterator[Fault]:
    """Neither the node's name nor that of its endpoint is the name of a service."""
    node, domain = settings.common.target, settings.common.domain
    if node.kind != "proxmox":
        return
    for key, name in (("node", node.node), ("endpoint", node.endpoint.host or "")):
        row = ROWS.get(name.lower().removesuffix(f".{domain}"))  # DNS knows no case
        if row is not None:
            owner = row.service.key
            text = f"{name} is already the name of {owner}; the node has its own"
            yield f"common.target.{key}", text


def devices(settings: "Settings") -> Iterator[Fault]:
    """A PCI device has one entry in `common.target.pci` and goes to one machine."""
    node = settings.common.target
    if node.kind != "proxmox":
        return
    paths = ((device.path, f"common.target.pci.{name}.path") for name, device in node.pci.items())
    yield from one_owner(paths, "path")
    users = []
    for key, vm in walk(settings, Vm):
        if vm.gpu and vm.gpus:
            yield f"{key}.gpu", "is one device and gpus are several; keep one of the two"
        users += [(vm.gpu, f"{key}.gpu")] if vm.gpu else []
        users += [(name, f"{key}.gpus[{number}]") for number, name in enumerate(vm.gpus)]
    yield from one_owner(users, "device")
    for name, key in users:
        if name not in node.pci:
            known = ", ".join(node.pci) or "nothing"
            yield key, f"{name} is no key of common.target.pci, which has {known}"


def networks(settings: "Settings") -> Iterator[Fault]:
    """The containers' network is private, large enough, and overlaps no other."""
    key, subnet = "platform.docker.network.subnet", settings.platform.docker.network.subnet
    if not any(subnet.subnet_of(network) for network in PRIVATE):
        yield key, f"{subnet} is not private (RFC 1918); use one such as 172.30.0.0/24"
    if settings.platform.docker.network.name in DOCKER_NETWORKS:
        text = f"{settings.platform.docker.network.name} is one of Docker's own; choose another"
        yield "platform.docker.network.name", text
    if subnet.prefixlen > LEAST_PREFIX:
        text = f"{subnet} is too small for the lab's containers"
        yield key, f"{text}; use a /{LEAST_PREFIX} or larger"
    docker = [("Docker's own bridge", DOCKER_BRIDGE)]
    node = settings.common.target
    if node.kind == "proxmox":
        docker.append(("Docker's pool for other networks", DOCKER_POOL))
    others = [*_networks(settings)]
    for owner, network in (*docker, *others):
        if subnet.overlaps(network):
            yield key, f"{subnet} overlaps {owner}, {network}; choose another"
            break
    for at, network in others if node.kind == "proxmox" else ():
        for owner, taken in docker:
            if network.overlaps(taken):
                text = f"{network} overlaps {owner}, {taken}"
                yield at, f"{text}: from the Docker VM it cannot be reached; choose another"


def machines_networks(settings: "Settings") -> Iterator[Fault]:
    """Machines are in networks where there can be machines."""
    if settings.common.target.kind != "proxmox":
        return
    for key, network in _networks(settings):
        if key != "common.target.nameservers" and (
            network.is_multicast
            or network.is_loopback
            or network.is_link_local
            or network.is_reserved
            or network.overlaps(IPv4Network("0.0.0.0/8"))
        ):
            yield key, f"{network} has no machines; use one such as 192.168.1.0/24"


def _networks(settings: "Settings") -> Iterator[tuple[str, IPv4Network]]:
    """Dotted key and network of everything outside that the containers must reach."""
    node = settings.common.target
    if node.kind == "docker":
        yield "common.target.address", IPv4Network(node.address)
    else:
        yield "common.target.network", node.network
        for address in node.nameservers:
            if isinstance(address, IPv4Address):
                yield "common.target.nameservers", IPv4Network(address)
        for name, machine in walk(settings, Machine):
            if machine.network:
                yield f"{name}.network", machine.network.network
            for interface in machine.interfaces:
                if interface.address != "dhcp":
                    yield f"{name}.interfaces", IPv4Interface(interface.address).network


def clients(settings: "Settings") -> Iterator[Fault]:
    """The package cache answers the networks of all machines, or of the containers in `dev`."""
    allowed = [*collapse_addresses(settings.foundation.cache.clients)]
    users: list[tuple[str, IPv4Network]]
    node = settings.common.target
    if node.kind == "proxmox":
        users = [("common.target.network", node.network)]
        for key, machine in walk(settings, Machine):
            if machine.network:
                users.append((f"{key}.network.network", machine.network.network))
    else:
        users = [("platform.docker.network.subnet", settings.platform.docker.network.subnet)]
    for owner, network in users:
        if not any(network.subnet_of(one) for one in allowed):
            yield "foundation.cache.clients", f"lacks {network} of {owner}, which gets 403; add it"


RULES = (ids, addresses, ports, host_names, devices, networks, machines_networks, clients)
