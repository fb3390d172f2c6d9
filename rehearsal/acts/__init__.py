"""What local providers do on real servers, one module for each package.

A type that has no act here is either made in the state alone, by the simulator's own rules (random
values, keys, certificates), or refused.
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.rules import Step

Properties = Mapping[str, Any]


class ActError(Exception):
    """The server refused, or did not answer; its own words."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """A resource type.

    create and update give what the server computed. read gives the inputs as the server has them
    now, None where the thing is gone: what it cannot say stays as the state has it.
    """

    create: Callable[[Step], Properties]
    read: Callable[[Step], Properties | None]
    update: Callable[[Step], Properties]
    delete: Callable[[Step], None]


ACTS: dict[str, Act] = {}
PACKAGES = frozenset(found.name for found in pkgutil.iter_modules(__path__))


def register(type_: str, act: Act) -> None:
    """Make a resource type one that local providers act on."""
    ACTS[type_] = act


def file(step: Step, name: str) -> str | None:
    """The path of a provider's option, from where the engine and its providers run."""
    path = step.config.get(name)
    return str(Path(step.world.facts.folder) / path) if path else None


def same(old: Any, now: list[str]) -> Any:
    """A set as the state orders it, where it has the same members."""
    return old if sorted(old or ()) == sorted(now) else sorted(now)
