"""What is planned of memory, cores and disk, and whether it fits.

A ballooning VM can shrink to its floor. The machines' floors and what the hypervisor keeps must
fit the node; what is left above them is what any one machine may grow into. An LXC has no balloon,
nor has a VM with a device passed through: the device may write to any page, so PVE pins them all
(terraform-provider-proxmox#634).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from settings.base import Container, dotted
from settings.declarations import BY_KEY
from settings.machines import Machine, Vm
from settings.platform.docker import DockerHost
from settings.platform.runner import Runner
from settings.sections import Sections, sections
from settings.switches import of_what_is_on, service_of
from settings.target import DockerTarget, ProxmoxTarget

if TYPE_CHECKING:
    from settings import Settings

Finding = tuple[Literal["error", "warning", "note"], str, str]  # level, dotted key, text

STORAGES = ("common", "target", "storages")
# A thin pool that runs full stops every machine on it, so a storage is warned of before it is.
DISK_WARNING = 0.85
# Threads that the hypervisor wants for itself.
SPARE_CORES = 2


@dataclass(frozen=True, kw_only=True)
class Host:
    """What a host has; `reserved_mib` of its memory is for its own system."""

    key: str
    memory_mib: int
    reserved_mib: int = 0
    cores: int
    storages_gib: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A machine: its most memory and, where it balloons, its least."""

    name: str
    key: str
    id: int
    kind: Literal["VM", "LXC"]
    cores: int
    dedicated_mib: int
    floating_mib: int | None = None
    pinned: bool = False
    disk_gib: int
    storage: str

    @property
    def floor_mib(self) -> int:
        """The least memory that it holds while it runs."""
        return self.dedicated_mib if self.pinned else self.floating_mib or self.dedicated_mib


@dataclass(frozen=True, kw_only=True)
class Load:
    """Containers with one limit, of which `count` may run at once."""

    name: str
    key: str
    memory_mib: int
    count: int = 1

    @property
    def total_mib(self) -> int:
        """What all of them may use."""
        return self.memory_mib * self.count


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The plan for one environment; target `docker` has neither node nor machines."""

    node: Host | None = None
    machines: tuple[Guest, ...] = ()
    docker: Host | None = None
    containers: tuple[Load, ...] = ()

    @property
    def floor_mib(self) -> int:
        """What the machines hold when all have shrunk to their floors."""
        return sum(guest.floor_mib for guest in self.machines)

    @property
    def dedicated_mib(self) -> int:
        """What the machines hold when all have grown to their maximum."""
        return sum(guest.dedicated_mib for guest in self.machines)

    @property
    def cores(self) -> int:
        """The cores of all machines."""
        return sum(guest.cores for guest in self.machines)

    @property
    def containers_mib(self) -> int:
        """What all containers and jobs may use together."""
        return sum(load.total_mib for load in self.containers)

    def used_gib(self, storage: str) -> int:
        """What the machines' disks take of a storage."""
        return sum(guest.disk_gib for guest in self.machines if guest.storage == storage)

    def free_on_max_mib(self, guest: Guest) -> int:
        """What is left on the node when this machine alone grows to its maximum."""
        memory = self.node.memory_mib if self.node else 0
        return memory - self.floor_mib - (guest.dedicated_mib - guest.floor_mib)

    @property
    def errors(self) -> tuple[str, ...]:
        """What cannot run: each a dotted key, what is wrong, what to do."""
        return self._texts("error")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What will run badly."""
        return self._texts("warning")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing."""
        return self._texts("note")

    def _texts(self, wanted: str) -> tuple[str, ...]:
        found = self.findings
        return tuple(f"datalab:{key}: {text}" for level, key, text in found if level == wanted)

    @property
    def findings(self) -> list[Finding]:
        """Everything worth saying."""
        return [*self._memory(), *self._growth(), *self._rest()]

    def _memory(self) -> Iterator[Finding]:
        for host, planned, whose in (
            (self.node, self.floor_mib, "machines'"),
            (self.docker, self.containers_mib, "containers' and jobs'"),
        ):
            if host and (over := planned + host.reserved_mib - host.memory_mib) > 0:
                kept = f" and {host.reserved_mib} for its own system" if host.reserved_mib else ""
                text = f"{host.memory_mib} is {over} MiB short of the {whose} {planned}{kept}"
                yield "error", f"{host.key}.memory_mib", f"{text}; lower one of theirs, or add RAM"

    def _growth(self) -> Iterator[Finding]:
        for guest in self.machines if self.node else ():
            free = self.free_on_max_mib(guest)
            key = f"{guest.key}.memory_mib"
            case = f"with all {guest.dedicated_mib} in use and all others at their floors"
            if free < 0:
                yield "warning", key, f"{case} {-free} MiB are missing: it can never have them"
            elif self.node and free < self.node.reserved_mib:
                yield "note", key, f"{case} {free} MiB are left, less than the hypervisor's reserve"

    def _rest(self) -> Iterator[Finding]:
        if not self.node:
            return
        if self.cores > self.node.cores - SPARE_CORES:
            level: Literal["warning", "note"]
            level = "warning" if self.cores > self.node.cores else "note"
            text = f"the machines have {self.cores} cores, the node {self.node.cores}"
            yield level, f"{self.node.key}.cores", f"{text}: under load they wait"
        for name, capacity in self.node.storages_gib.items():
            used, key = self.used_gib(name), dotted((*STORAGES, name, "capacity_gib"))
            if used > capacity:
                text = f"{capacity} is {used - capacity} GiB short of the machines' {used}"
                yield "error", key, f"{text}; lower a machine's disk_gib"
            elif used > DISK_WARNING * capacity:
                text = f"the machines' disks take {used} of {capacity} GiB"
                yield "warning", key, f"{text}: a thin pool that runs full stops every machine"


def machines(settings: "Settings") -> list[tuple[str, Machine]]:
    """(dotted key, machine) of every machine of the lab that is switched on."""
    sound = sections(settings)
    return list(of_what_is_on(sound.machines, sound).items())


def budget(settings: "Settings") -> Budget:
    """The budget of an environment."""
    platform = settings.platform
    return _plan(settings.common.target, platform.docker, platform.runner, sections(settings))


def fits(
    *,
    target: DockerTarget | ProxmoxTarget,
    docker: DockerHost,
    runner: Runner,
    sections: Sections,
) -> Iterator[tuple[str, str]]:
    """Memory and disks are enough (`./lab budget ENV` shows the plan, with warnings).

    The machines' memory floors and what is kept for the hypervisor fit the node's memory; a VM with
    a device passed through has no floor below its maximum. The containers' limits, the runner's
    jobs and what is kept for its system fit the Docker host's memory. The machines' disks fit their
    storage.
    """
    for level, key, text in _plan(target, docker, runner, sections).findings:
        if level == "error":
            yield key, text


def _plan(
    target: DockerTarget | ProxmoxTarget, docker: DockerHost, runner: Runner, sound: Sections
) -> Budget:
    loads = tuple(_loads(target, runner, of_what_is_on(sound.containers, sound)))
    if target.kind == "docker":
        # All of `target.memory_mib` is for containers: nothing of it is the system's.
        host = Host(key="common.target", memory_mib=target.memory_mib, cores=target.cores)
        return Budget(docker=host, containers=loads)
    vm = docker.machine
    return Budget(
        node=Host(
            key="common.target",
            memory_mib=target.memory_mib,
            reserved_mib=target.reserved_mib,
            cores=target.cores,
            storages_gib={name: storage.capacity_gib for name, storage in target.storages.items()},
        ),
        machines=tuple(
            _guest(key, machine, machine.disk_storage(target))
            for key, machine in of_what_is_on(sound.machines, sound).items()
        ),
        docker=Host(
            key="platform.docker.machine",
            memory_mib=vm.memory_mib,
            reserved_mib=docker.reserved_mib,
            cores=vm.cores,
        )
        if vm
        else None,
        containers=loads,
    )


def _loads(
    target: DockerTarget | ProxmoxTarget, runner: Runner, there: Mapping[str, Container]
) -> Iterator[Load]:
    """What containers may use; on a machine all jobs with their `services:` are one slice's."""
    slots = {f"platform.runner.{size}": n for size, n in runner.slots.items()}
    slots["platform.runner.service"] = runner.concurrent * runner.services_limit
    sliced = list(slots) if target.kind == "proxmox" else []
    if any(key in sliced for key in there):
        yield Load(name="runner (all jobs)", key="platform.runner", memory_mib=runner.jobs_mib)
    for key, container in there.items():
        if key not in sliced and slots.get(key, 1):
            yield Load(
                name=key.partition(".")[2].removesuffix(".container"),
                key=key,
                memory_mib=container.memory_mib,
                count=slots.get(key, 1),
            )


def _guest(key: str, machine: Machine, storage: str) -> Guest:
    return Guest(
        name=BY_KEY[service_of(key)].name,
        key=key,
        id=machine.id,
        kind="VM" if isinstance(machine, Vm) else "LXC",
        cores=machine.cores,
        dedicated_mib=machine.memory_mib,
        floating_mib=machine.floor_mib if isinstance(machine, Vm) else None,
        pinned=isinstance(machine, Vm) and bool(machine.devices),
        disk_gib=machine.disk_gib,
        storage=storage,
    )
