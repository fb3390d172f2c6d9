"""Whether values fit the types that the SDK declares; each fault names its property."""

import enum
import inspect
import json
import types
import typing
from collections import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from rehearsal import sdk
from rehearsal.wire import SIGNATURE, Unknown

_SCALARS: Mapping[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with one property; the path is the engine's (`ports[0].internal`)."""

    path: str
    reason: str


def check(inputs: type, values: Mapping[str, Any], path: str = "") -> Iterator[Fault]:
    """Every fault of `values` as arguments of the class `inputs`."""
    known = sdk.properties(inputs)
    for name in sorted(sdk.required(inputs) - values.keys()):
        yield Fault(_join(path, name), "a required property is missing")
    for name, value in values.items():
        if name in known:
            yield from _faults(value, known[name], _join(path, name))
        else:
            yield Fault(_join(path, name), "the provider has no such property")


def check_provider(inputs: type, values: Mapping[str, Any]) -> Iterator[Fault]:
    """Every fault of a provider's configuration, whose values travel as JSON in strings."""
    known = sdk.properties(inputs)
    parsed = {}
    for name, value in values.items():
        try:
            own = isinstance(value, str) and name in known and str not in _members(known[name])
            parsed[name] = json.loads(value) if own else value
        except ValueError:
            yield Fault(name, "is not JSON")
    yield from check(inputs, parsed)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _members(annotation: Any) -> list[Any]:
    """The types that a value may have, without the ways to give it later."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        later = (abc.Awaitable, pulumi.Output, type(None))
        return [] if (typing.get_origin(annotation) or annotation) in later else [annotation]
    return [inner for member in typing.get_args(annotation) for inner in _members(member)]


def _faults(value: Any, annotation: Any, path: str) -> Iterator[Fault]:
    if value is None or isinstance(value, Unknown):
        return
    found = [list(_fits(value, member, path)) for member in _members(annotation)]
    if all(found):
        # The most telling: where the members agree on the kind, the one that got furthest.
        yield from max(found, key=lambda faults: max(len(fault.path) for fault in faults))


def _fits(value: Any, member: Any, path: str) -> Iterator[Fault]:
    origin, inside = typing.get_origin(member), typing.get_args(member)
    if origin in (abc.Sequence, list):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _faults(item, inside[0], f"{path}[{index}]")
        else:
            yield Fault(path, f"must be a list, not {type(value).__name__}")
    elif origin in (abc.Mapping, dict):
        if isinstance(value, dict):
            for key, item in value.items():
                yield from _faults(item, inside[1], _join(path, key))
        else:
            yield Fault(path, f"must be a map, not {type(value).__name__}")
    elif inspect.isclass(member):
        yield from _fits_class(value, member, path)


def _fits_class(value: Any, member: type, path: str) -> Iterator[Fault]:
    if member in _SCALARS:
        if not _scalar(value, member):
            yield Fault(path, f"must be {_SCALARS[member]}, not {type(value).__name__}")
    elif issubclass(member, enum.Enum):
        allowed = [item.value for item in member]
        if value not in allowed:
            yield Fault(path, f"must be one of {allowed}")
    elif issubclass(member, pulumi.Asset | pulumi.Archive):
        if not (isinstance(value, dict) and SIGNATURE in value):
            yield Fault(path, "must be an asset")
    elif isinstance(value, dict):
        yield from check(member, value, path)
    else:
        yield Fault(path, f"must be an object, not {type(value).__name__}")


def _scalar(value: Any, wanted: type) -> bool:
    if wanted in (str, bool):
        return isinstance(value, wanted)
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (wanted is float and isinstance(value, float))
