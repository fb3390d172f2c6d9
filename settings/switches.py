"""What is switched on has what it needs."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from settings.declarations import BY_KEY, SERVICES
from settings.sections import Fault, Sections
from settings.service import Service
from settings.target import DockerTarget, ProxmoxTarget

GATEWAY = "services.gateway"
T = TypeVar("T")


def on(key: str, sections: Sections) -> bool:
    """Whether the service of this key is switched on, as far as that is known."""
    section, part_of = sections.get(key), BY_KEY[key].part_of
    if section is None or not getattr(section, "enabled", True):
        return False
    return not part_of or on(part_of, sections)


def of_what_is_on(found: Mapping[str, T], sections: Sections) -> dict[str, T]:
    """Those machines or containers, by dotted key, whose service is switched on."""
    return {key: part for key, part in found.items() if on(service_of(key), sections)}


def service_of(key: str) -> str:
    """The service's key in a longer dotted key."""
    return ".".join(key.split(".")[:2])


def needs(target: DockerTarget | ProxmoxTarget, sections: Sections) -> Iterator[Fault]:
    """What a service needs is switched on; in `lab` its web page needs the gateway."""
    for service in SERVICES:
        if not on(service.key, sections):
            continue
        for key in needed(service, target.kind):
            if key in sections and not on(key, sections):
                switch, own = _switch(key), _switch(service.key)
                text = f"is false, but {service.key} needs it; set it to true, or {own} to false"
                yield switch, text


def needed(service: Service, target: str) -> tuple[str, ...]:
    """The keys of what a service needs on a kind of target."""
    behind = any(listener.exposure == "gateway" for listener in service.listeners)
    return (*service.needs, *((GATEWAY,) if behind and target == "proxmox" else ()))


def _switch(key: str) -> str:
    """The setting that switches a service off."""
    return f"{BY_KEY[key].part_of or key}.enabled"
