"""Rules between settings: each yields (dotted key, what is wrong and what to do).

A rule's parameters say what it reads (settings/sections.py). A rule on one service's settings
stands in the service's module and is named by its declaration.
"""

from collections.abc import Iterator

from settings import data, docker_names, generated, ownership, switches, time_zones
from settings.base import dotted
from settings.budget import fits
from settings.common import STATE_FOLDERS, Certificates, Rescue
from settings.declarations import FIXED, SERVICES, why_fixed
from settings.faults import suggestion
from settings.foundation.cache import Cache
from settings.machines import Vm
from settings.platform.docker import DockerHost
from settings.sections import Fault, Machines, Rule, Sections, arguments
from settings.target import DockerTarget, ProxmoxTarget

# RFC 6762 gives .local to multicast DNS, RFC 6761 .localhost to the loopback address.
RESERVED_DOMAINS = ("local", "localhost")
CONTENT = {"image_storage": ("import", "vztmpl"), "disk_storage": ("images", "rootdir")}


def check(sound: Sections) -> Iterator[Fault]:
    """Every fault of the rules that read sound sections alone."""
    for rule in RULES:
        values = arguments(rule, sound)
        if values is not None:
            yield from rule(**values)


def homes(target: DockerTarget | ProxmoxTarget, sections: Sections) -> Iterator[Fault]:
    """Layers 1 and 2 are containers on target `docker` and machines on target `proxmox`."""
    here = target.kind
    fitting, other = ("container", "machine") if here == "docker" else ("machine", "container")
    for key, part in sections.items():
        if not key.startswith(("foundation.", "platform.")):
            continue
        if getattr(part, other, None) is not None:
            yield f"{key}.{other}", f"target {here} has a {fitting} instead; remove it"
        if switches.on(key, sections) and getattr(part, fitting, ...) is None:
            yield f"{key}.{fitting}", f"is missing; target {here} needs it"


def registries(target: DockerTarget | ProxmoxTarget, cache: Cache) -> Iterator[Fault]:
    """The cache's registries are containers on target `docker` only."""
    for name, upstream in cache.upstreams.items():
        key = f"foundation.cache.upstreams.{name}.container"
        if target.kind == "docker" and upstream.kind == "oci" and upstream.container is None:
            yield key, "is missing; target docker runs its registry in one"
        elif target.kind == "proxmox" and upstream.container is not None:
            yield key, "target proxmox runs its registry on the cache's machine; remove it"


def floors(machines: Machines) -> Iterator[Fault]:
    """A machine's `floor_mib` is at most its `memory_mib`."""
    for key, vm in machines.items():
        if isinstance(vm, Vm) and vm.floor_mib is not None and vm.floor_mib > vm.memory_mib:
            text = f"{vm.floor_mib} is above memory_mib, {vm.memory_mib}; lower it"
            yield f"{key}.floor_mib", text


def cores(node: ProxmoxTarget, machines: Machines) -> Iterator[Fault]:
    """No machine has more cores than the node."""
    for key, machine in machines.items():
        # qemu-server: "MAX n vcpus allowed per VM on this node".
        if machine.cores > node.cores:
            yield f"{key}.cores", f"{machine.cores} is more than the node's {node.cores}; lower it"


def cpus(
    target: DockerTarget | ProxmoxTarget, docker: DockerHost, sections: Sections
) -> Iterator[Fault]:
    """No container has more cores than its Docker host."""
    host = target if target.kind == "docker" else docker.machine
    for key, container in switches.of_what_is_on(sections.containers, sections).items():
        # Docker: "Range of CPUs is from 0.01 to n.00, as there are only n CPUs available".
        if host is not None and container.cpus is not None and container.cpus > host.cores:
            text = f"{container.cpus:g} is more than the Docker host's {host.cores} cores; lower it"
            yield f"{key}.cpus", text


def storages(node: ProxmoxTarget) -> Iterator[Fault]:
    """The node's storages for images and disks exist and take what is put on them."""
    for name, needed in CONTENT.items():
        chosen, known = getattr(node, name), node.storages
        if chosen not in known:
            text = f"{chosen} is not a storage of the node; {suggestion(chosen, list(known))}"
            yield f"common.target.{name}", text
            continue
        for content in needed:
            if content not in known[chosen].content:
                key = dotted(("common", "target", "storages", chosen, "content"))
                yield key, f"lacks {content}, which {name} needs; enable it in PVE and add it here"


def disks(node: ProxmoxTarget, machines: Machines) -> Iterator[Fault]:
    """A storage of a machine's own exists and takes its disk."""
    for key, machine in machines.items():
        if machine.storage is None:
            continue
        content = "images" if isinstance(machine, Vm) else "rootdir"
        if machine.storage not in node.storages:
            there = suggestion(machine.storage, list(node.storages))
            yield f"{key}.storage", f"{machine.storage} is not a storage of the node; {there}"
        elif content not in node.storages[machine.storage].content:
            at = dotted(("common", "target", "storages", machine.storage, "content"))
            yield at, f"lacks {content}, which {key}.storage needs; enable it in PVE, add it here"


def domain(domain: str) -> Iterator[Fault]:
    """The domain is one for DNS."""
    if domain.rpartition(".")[2] in RESERVED_DOMAINS:
        yield "common.domain", f"{domain} never reaches a DNS server; use lab.home.arpa"


def timezone(timezone: str) -> Iterator[Fault]:
    """The time zone exists."""
    if wrong := time_zones.fault(timezone):
        yield "common.timezone", wrong


def certificates(days: Certificates) -> Iterator[Fault]:
    """Certificates live shorter than the CA and longer than `renew_days`."""
    if days.leaf_days > days.ca_days:
        text = f"{days.leaf_days} outlives the CA's ca_days, {days.ca_days}; lower it"
        yield "common.certificates.leaf_days", text
    if days.renew_days >= days.leaf_days:
        text = f"{days.renew_days} is not below leaf_days, {days.leaf_days}: every `up` would renew"
        yield "common.certificates.renew_days", text


def generations(generations: dict[str, int], sections: Sections) -> Iterator[Fault]:
    """`generations` names secrets, but none that its server takes for its first administrator."""
    known = generated.renewable(sections)
    for name in generations:
        if name in FIXED:
            yield dotted(("common", "generations", name)), f"cannot be set: {why_fixed(name)}"
        elif name not in known:
            text = f"is not a secret; {suggestion(name, known)}"
            yield dotted(("common", "generations", name)), text


def rescue(rescue: Rescue) -> Iterator[Fault]:
    """Rescued state is kept apart from the state."""
    for folder in STATE_FOLDERS:
        if rescue.path.is_relative_to(folder):
            text = f"{rescue.path} is where the state is, and would be lost with it"
            yield "common.rescue.path", f"{text}; choose a folder elsewhere"


def address(target: DockerTarget) -> Iterator[Fault]:
    """The address for published ports is one that can be reached."""
    if target.address.is_unspecified or target.address.is_multicast:
        yield "common.target.address", f"{target.address} cannot be reached; name one address"


RULES: tuple[Rule, ...] = (
    *(homes, switches.needs, registries, *ownership.RULES, *docker_names.RULES),
    *(floors, cores, cpus, *data.RULES),
    *(storages, disks, domain, timezone, certificates, generations, rescue, address),
    *(rule for service in SERVICES for rule in service.rules),
    fits,
)
