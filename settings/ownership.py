"""Rules on what can have only one owner: ids, addresses, names, ports, devices, networks."""

from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, collapse_addresses

from settings.declarations import SERVICES
from settings.foundation.cache import Cache
from settings.machines import MachineNetwork, Vm
from settings.names import ROWS
from settings.platform.docker import DockerHost
from settings.platform.gitlab import GitLab
from settings.sections import Fault, Machines, Sections
from settings.switches import on
from settings.target import DockerTarget, ProxmoxTarget

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


def ids(machines: Machines) -> Iterator[Fault]:
    """Every machine's id has one owner."""
    yield from one_owner(((machine.id, f"{key}.id") for key, machine in machines.items()), "id")


def range_of_ids(node: ProxmoxTarget, machines: Machines) -> Iterator[Fault]:
    """Every machine's id lies within `common.target.machine_ids`."""
    first, last = node.machine_ids.first, node.machine_ids.last
    if first > last:
        yield "common.target.machine_ids", f"first, {first}, is above last, {last}; swap them"
        return
    for key, machine in machines.items():
        if not first <= machine.id <= last:
            text = f"{machine.id} is outside of common.target.machine_ids, {first} to {last}"
            yield f"{key}.id", text


def addresses(node: ProxmoxTarget, machines: Machines) -> Iterator[Fault]:
    """Every machine's address has one owner and lies in the node's network.

    It is neither the gateway's, a nameserver's nor the node's, nor the network's own or broadcast.
    """
    taken: dict[Hashable, str] = dict.fromkeys(node.nameservers, "common.target.nameservers")
    with suppress(ValueError):
        taken[IPv4Address(node.endpoint.host or "")] = "common.target.endpoint"
    yield from _gateway("common.target", node)
    taken[node.gateway] = "common.target.gateway"
    claims: list[tuple[Hashable, str]] = []
    for key, machine in machines.items():
        claims.append((machine.address, f"{key}.address"))
        lan, owner = machine.lan(node), "common.target"
        if machine.network:
            owner = f"{key}.network"
            yield from _gateway(owner, machine.network)
            if machine.network.gateway == machine.address:
                yield f"{key}.address", f"{machine.address} is {owner}.gateway too; choose another"
        yield from _in_network(f"{key}.address", machine.address, lan.network, owner)
        claims += [
            (IPv4Interface(interface.address).ip, f"{key}.interfaces[{number}].address")
            for number, interface in enumerate(machine.interfaces)
            if interface.address != "dhcp"
        ]
    yield from one_owner([*taken.items(), *claims], "address")


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


def ports(target: DockerTarget | ProxmoxTarget, sections: Sections) -> Iterator[Fault]:
    """Every port of a host has one owner, be it a service that publishes it or one's own part.

    22 is SSH's, and GitLab's inner ports and 80 of its machine are taken.
    """
    docker = target.kind == "docker"
    claims: list[tuple[Hashable, str]] = [*_own_ports(docker=docker)]
    if not docker:
        claims += [((key, SSH_PORT), f"{key} (its SSH)") for key in sections.machines]
    if docker and on("platform.gitlab", sections):
        gitlab: GitLab = sections["platform.gitlab"]
        claims.append((("common.target", gitlab.ssh_port), "platform.gitlab.ssh_port"))
    for row in ROWS.values():
        if not on(row.service.key, sections) or not row.published(docker=docker):
            continue
        port: int = getattr(sections[row.service.key], row.listener.port_setting)
        claims.append((("common.target" if docker else row.machine_key, port), row.port_key))
        if (
            docker and row.service.key == "platform.gitlab"
        ):  # as it writes the published port into its links
            claims.append((("platform.gitlab.container", port), row.port_key))
    yield from one_owner(claims, "port")


def plain_docker(docker: DockerHost) -> Iterator[Fault]:
    """The Docker host's port is not 2375, which is for Docker without TLS."""
    if docker.port == PLAIN_DOCKER_PORT:
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


def host_names(node: ProxmoxTarget, domain: str) -> Iterator[Fault]:
    """Neither the node's name nor that of its endpoint is the name of a service."""
    for key, name in (("node", node.node), ("endpoint", node.endpoint.host or "")):
        row = ROWS.get(name.lower().removesuffix(f".{domain}"))  # DNS knows no case
        if row is not None:
            owner = row.service.key
            text = f"{name} is already the name of {owner}; the node has its own"
            yield f"common.target.{key}", text


def devices(node: ProxmoxTarget, machines: Machines) -> Iterator[Fault]:
    """A PCI device has one entry in `common.target.pci` and goes to one machine."""
    paths = ((device.path, f"common.target.pci.{name}.path") for name, device in node.pci.items())
    yield from one_owner(paths, "path")
    users = []
    for key, vm in machines.items():
        if not isinstance(vm, Vm):
            continue
        if vm.gpu and vm.gpus:
            yield f"{key}.gpu", "is one device and gpus are several; keep one of the two"
        users += [(vm.gpu, f"{key}.gpu")] if vm.gpu else []
        users += [(name, f"{key}.gpus[{number}]") for number, name in enumerate(vm.gpus)]
    yield from one_owner(users, "device")
    for name, key in users:
        if name not in node.pci:
            known = ", ".join(node.pci) or "nothing"
            yield key, f"{name} is not a key of common.target.pci, which has {known}"


def subnet(docker: DockerHost) -> Iterator[Fault]:
    """The containers' network is private and large enough, and no other has its name."""
    key, network = "platform.docker.network", docker.network
    if not any(network.subnet.subnet_of(private) for private in PRIVATE):
        text = f"{network.subnet} is not private (RFC 1918); use one such as 172.30.0.0/24"
        yield f"{key}.subnet", text
    if network.name in DOCKER_NETWORKS:
        yield f"{key}.name", f"{network.name} is one of Docker's own; choose another"
    if network.subnet.prefixlen > LEAST_PREFIX:
        text = f"{network.subnet} is too small for the lab's containers"
        yield f"{key}.subnet", f"{text}; use a /{LEAST_PREFIX} or larger"


def overlaps(
    target: DockerTarget | ProxmoxTarget, docker: DockerHost, machines: Machines
) -> Iterator[Fault]:
    """The containers' network overlaps no other."""
    subnet = docker.network.subnet
    for owner, network in (*_dockers(target), *_networks(target, machines)):
        if subnet.overlaps(network):
            text = f"{subnet} overlaps {owner}, {network}; choose another"
            yield "platform.docker.network.subnet", text
            break


def machines_networks(node: ProxmoxTarget, machines: Machines) -> Iterator[Fault]:
    """Machines are in networks where there can be machines, and that Docker does not take."""
    for key, network in _networks(node, machines):
        for owner, taken in _dockers(node):
            if network.overlaps(taken):
                text = f"{network} overlaps {owner}, {taken}"
                yield key, f"{text}: from the Docker VM it cannot be reached; choose another"
        if key != "common.target.nameservers" and (
            network.is_multicast
            or network.is_loopback
            or network.is_link_local
            or network.is_reserved
            or network.overlaps(IPv4Network("0.0.0.0/8"))
        ):
            yield key, f"{network} has no machines; use one such as 192.168.1.0/24"


def _dockers(target: DockerTarget | ProxmoxTarget) -> Iterator[tuple[str, IPv4Network]]:
    """What an engine takes for itself."""
    yield "Docker's own bridge", DOCKER_BRIDGE
    if target.kind == "proxmox":
        yield "Docker's pool for other networks", DOCKER_POOL


def _networks(
    target: DockerTarget | ProxmoxTarget, machines: Machines
) -> Iterator[tuple[str, IPv4Network]]:
    """Dotted key and network of everything outside that the containers must reach."""
    if target.kind == "docker":
        yield "common.target.address", IPv4Network(target.address)
        return
    yield "common.target.network", target.network
    for address in target.nameservers:
        if isinstance(address, IPv4Address):
            yield "common.target.nameservers", IPv4Network(address)
    for key, machine in machines.items():
        if machine.network:
            yield f"{key}.network", machine.network.network
        for interface in machine.interfaces:
            if interface.address != "dhcp":
                yield f"{key}.interfaces", IPv4Interface(interface.address).network


def machines_use_the_cache(
    node: ProxmoxTarget, machines: Machines, cache: Cache
) -> Iterator[Fault]:
    """The package cache answers the networks of all machines."""
    yield from _clients(cache, "common.target.network", node.network)
    for key, machine in machines.items():
        if machine.network:
            yield from _clients(cache, f"{key}.network.network", machine.network.network)


def containers_use_the_cache(
    target: DockerTarget, docker: DockerHost, cache: Cache
) -> Iterator[Fault]:
    """On target `docker` the package cache answers the containers' network."""
    yield from _clients(cache, "platform.docker.network.subnet", docker.network.subnet)


def _clients(cache: Cache, owner: str, network: IPv4Network) -> Iterator[Fault]:
    if not any(network.subnet_of(one) for one in collapse_addresses(cache.clients)):
        yield "foundation.cache.clients", f"lacks {network} of {owner}, which gets 403; add it"


RULES = (
    *(ids, range_of_ids, addresses, ports, plain_docker, host_names, devices, subnet, overlaps),
    *(machines_networks, machines_use_the_cache, containers_use_the_cache),
)
