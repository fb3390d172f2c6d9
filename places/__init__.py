"""Where a thing runs. A service describes itself once, with these; the place decides how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that the service reads; `content` may be secret."""

    content: pulumi.Input[str]
    mode: str = "0644"  # octal, as chmod takes it
    owner: int = 0  # user and group id inside the container


@dataclass(frozen=True, kw_only=True)
class Health:
    """A health check: `test` is run inside the container and must end with 0."""

    test: Sequence[str]
    interval_s: int = 10
    timeout_s: int = 5
    retries: int = 6
    start_period_s: int = 5
    wait_s: int = 180  # how long `up` waits for the first healthy answer


@dataclass(frozen=True, kw_only=True)
class Port:
    """A published port."""

    inside: int
    outside: int
    address: str = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Container:
    """A service as a container.

    environment's values, files' contents and the image's reference may be outputs and secret.
    volumes maps a volume's name to its path inside; such a volume holds data and is protected.
    caches is the same for what may be lost. host_paths maps host to container paths.
    """

    image: pulumi.Input[str]
    memory_mib: int
    health: Health | None
    cpus: float | None = None
    command: Sequence[pulumi.Input[str]] = ()
    entrypoint: Sequence[str] = ()
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    caches: Mapping[str, str] = field(default_factory=dict)
    host_paths: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[Port] = ()
    aliases: Sequence[str] = ()
    user: str | None = None
    gpu: bool = False
    shm_mib: int | None = None
    capabilities: Sequence[str] = ()  # kept; all others are dropped


@dataclass(frozen=True, kw_only=True)
class Role:
    """A service as an Ansible role of the same name on a machine.

    variables may hold outputs at any depth and are always treated as secret.
    """

    name: str
    variables: Mapping[str, pulumi.Input[object]] = field(default_factory=dict)
