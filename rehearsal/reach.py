"""Which server a provider talks to, and whether anything listens there."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rehearsal.catalogue import at, providers
from rehearsal.refusals import RefusedError
from rehearsal.world import World

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LOCAL_ENGINE = "docker local"


def server(package: str, config: Mapping[str, Any]) -> tuple[str, int] | None:
    """(host, port) that a provider talks to; None for the local Docker engine, or for nothing."""
    known = providers().get(package)
    value = str(config.get(known.server) or "") if known else ""
    if not known or not value or value.startswith(("unix:", "npipe:")):
        return None
    parts = urlsplit(value if "://" in value else f"//{value}")
    port = parts.port or int(config.get("port", known.port))
    return parts.hostname or "", 22 if parts.scheme == "ssh" else port


def scope(world: World, package: str, config: Mapping[str, Any]) -> str:
    """The name of a provider's server, the same for everyone who talks to it."""
    found = server(package, config)
    if found is None:
        return LOCAL_ENGINE if package == "docker" else package
    host, port = found
    host = world.facts.names.get(host, host)
    if package == "docker":
        return f"docker tcp://{host}"
    return f"{package} {host}" if package == "gitlab" else f"{package} {host}:{port}"


def reach(world: World, package: str, config: Mapping[str, Any]) -> None:
    """Raise RefusedError where nobody answers a provider."""
    found = server(package, config)
    if found is None or package == "proxmoxve":
        return
    host, port = found
    if not (host in LOOPBACK or host in world.facts.names or _is_address(host)):
        raise RefusedError("name-unknown", host=host)
    if not listens(world, host, port):
        reason = "docker-daemon" if package == "docker" else "nothing-listens"
        raise RefusedError(reason, host=host, port=port)


def _is_address(host: str) -> bool:
    return ":" in host or all(part.isdecimal() for part in host.split("."))


def listens(world: World, host: str, port: int) -> bool:
    """Whether something answers: on loopback a published port, elsewhere a machine that is on.

    What a machine's roles made listen is not known here; the machine stands for it.
    """
    address = world.facts.names.get(host, host)
    if address in {*LOOPBACK, world.facts.engine_address}:
        containers = world.find("docker:index/container:Container", scope=LOCAL_ENGINE)
        return any(port in at(container.inputs, "ports[].external") for container in containers)
    machines = world.find(
        "proxmoxve:index/vmLegacy:VmLegacy", "proxmoxve:index/containerLegacy:ContainerLegacy"
    )
    path = "initialization.ipConfigs[].ipv4.address"
    return any(
        address in (given.partition("/")[0] for given in at(machine.inputs, path))
        for machine in machines
        if machine.get("started", True)
    )
