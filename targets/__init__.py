"""Where a thing runs. A service describes itself once, with these; the runtime decides how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import pulumi

from settings.machines import Lxc, Vm


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that the service reads; `content` may be secret."""

    content: pulumi.Input[str]
    mode: str = "0644"  # octal, as chmod takes it
    owner: int = 0  # user and group id; another than root's only where the container starts as root


@dataclass(frozen=True, kw_only=True)
class Health:
    """A health check: `test` is run inside the container and must end with 0."""

    test: Sequence[str]  # Docker's form: ("CMD", program, argument...) or ("CMD-SHELL", line)
    interval_s: int = 10
    timeout_s: int = 5
    start_period_s: int = 5
    wait_s: int = 180  # how long `up` waits for the first healthy answer


@dataclass(frozen=True, kw_only=True)
class Port:
    """A published port."""

    inside: int
    outside: int
    address: str


@dataclass(frozen=True, kw_only=True)
class Container:
    """A service as a container.

    The values of environment, the contents of files and the image may be outputs and secret.
    volumes maps a volume's name to its path inside; a volume holds data and is protected.
    host_paths maps a path of the host to a path inside. capabilities are all that its root keeps;
    None is Docker's own fourteen. An engine puts no files into a container that is read_only.
    """

    image: pulumi.Input[str]
    memory_mib: int
    health: Health
    cpus: float | None
    command: Sequence[pulumi.Input[str]] = ()
    entrypoint: Sequence[str] = ()
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    host_paths: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[Port] = ()
    aliases: Sequence[str] = ()
    user: str | None = None
    gpu: bool = False  # by NVIDIA's toolkit; others are devices
    devices: Sequence[str] = ()
    shm_mib: int | None = None
    capabilities: Sequence[str] | None = None
    read_only: bool = False
    stop_s: int = 30  # how long it may take to end by itself before it is killed


@dataclass(frozen=True, kw_only=True)
class Role:
    """A service as an Ansible role on a machine.

    variables are the role's (see its meta/argument_specs.yml); they may hold outputs at any
    depth and are always treated as secret.
    """

    name: str
    variables: Mapping[str, pulumi.Input[object]]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A service in both of its forms; a runtime uses its own and ignores the other.

    roles are applied to its own machine, or to that of the workload `on`, which ran before it.
    """

    container: Container | None
    machine: Lxc | Vm | None
    roles: Sequence[Role]
    on: str = ""


class Runtime(Protocol):
    """Where services run."""

    def behind(self, mirrors: pulumi.Input[dict[str, str]]) -> Self:
        """The same, where what runs installs through the package cache.

        mirrors maps what the cache stands in for to its URL there (settings.mirrors.for_machines).
        """
        ...

    def run(self, parent: pulumi.Resource, name: str, workload: Workload) -> pulumi.Output[str]:
        """Run a service under `parent`; the output is known once it is healthy, empty until then.

        What talks to the service derives its address from it, so that a preview does not
        reach for what is not there yet.
        """
        ...
