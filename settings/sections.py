"""Rules on settings: what a rule reads, and the sections that are sound enough for it."""

from collections.abc import Callable, Iterator
from functools import cache, cached_property
from types import UnionType
from typing import Any, TypeVar, get_type_hints

from settings.base import Container, Model, walk
from settings.machines import Machine

Fault = tuple[str, str]  # dotted key, and what is wrong and what to do
Rule = Callable[..., Iterator[Fault]]
T = TypeVar("T")


class Machines(dict[str, Machine]):
    """Dotted key -> machine, of all sections that are sound."""


class Containers(dict[str, Container]):
    """Dotted key -> container, of all sections that are sound."""


class Sections(dict[str, Any]):
    """Dotted key of a section (services.kafka, common.domain) -> its settings.

    None is added once rules read them, as what is collected from them is kept.
    """

    @cached_property
    def machines(self) -> Machines:
        """All machines that there are."""
        return Machines(self._all(Machine))

    @cached_property
    def containers(self) -> Containers:
        """All containers that there are."""
        return Containers(self._all(Container))

    def _all(self, kind: type[T]) -> dict[str, T]:
        """Dotted key -> value of everything of type `kind` in them."""
        return {
            key: value
            for at, section in self.items()
            if isinstance(section, Model)
            for key, value in walk(section, kind, tuple(at.split(".")))
        }


COLLECTED: dict[Any, str] = {Machines: "machines", Containers: "containers"}


@cache
def _reads(rule: Rule) -> dict[str, Any]:
    return {name: kind for name, kind in get_type_hints(rule).items() if name != "return"}


def arguments(rule: Rule, sound: Sections) -> dict[str, Any] | None:
    """What a rule reads; None where a section of it has faults of its own, and it must wait.

    Its parameters say what that is: a section by its model, one of `common` without a model by its
    name, all machines or containers that there are, or everything.
    """
    values: dict[str, Any] = {}
    for name, kind in _reads(rule).items():
        if kind is Sections:
            values[name] = sound
        elif kind in COLLECTED:
            values[name] = getattr(sound, COLLECTED[kind])
        elif isinstance(kind, UnionType) or (isinstance(kind, type) and issubclass(kind, Model)):
            found = [section for section in sound.values() if isinstance(section, kind)]
            if not found:
                return None
            values[name] = found[0]
        elif f"common.{name}" in sound:
            values[name] = sound[f"common.{name}"]
        else:
            return None
    return values


def sections(settings: Model) -> Sections:
    """All sections of whole settings."""
    return Sections(
        {
            f"{layer}.{name}": getattr(getattr(settings, layer), name)
            for layer in type(settings).model_fields
            for name in type(getattr(settings, layer)).model_fields
        }
    )
