"""Defaults that depend on the kind of target, or that a person adds to."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import GetJsonSchemaHandler
from pydantic.fields import FieldInfo

from settings.base import Model
from settings.stackfile import is_secret

SCHEMA_KEY = "defaults"  # in JSON schemas: kind of target -> default
Tree = dict[str, Any]


@dataclass(frozen=True)
class ByTarget:
    """What a setting is where the file does not say it; None where it has no default.

    Maps are put together: what the file has wins, and null takes an entry away. It counts in models
    that are fields of others, not in the entries of a map or list.
    """

    docker: Any = None
    proxmox: Any = None

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> Tree:
        found = {kind: value for kind, value in vars(self).items() if value is not None}
        return {**handler(core_schema), SCHEMA_KEY: found}


def always(value: Any) -> ByTarget:
    """The same on every target."""
    return ByTarget(docker=value, proxmox=value)


def filled(model: type[Model], given: Any, kind: str) -> Any:
    """What the file has of a model, with the defaults of a kind of target."""
    if not isinstance(given, dict) or is_secret(given):
        return given
    result = dict(given)
    for name, field in model.model_fields.items():
        default = _default(field, kind)
        if default is not None:
            nothing = {} if isinstance(default, dict) else default
            result[name] = merged(default, given.get(name, nothing))
        inner = _model(field.annotation)
        if inner and (name in result or field.is_required()):
            result[name] = filled(inner, result.get(name, {}), kind)
    return result


def unlisted(model: type[Model], given: Tree, kind: str) -> Iterator[tuple[str, ...]]:
    """Default entries of maps that a file has not: by choice, in one of an earlier release.

    Not of a section that it has not: that is of a later one.
    """
    for name, field in model.model_fields.items():
        default = _default(field, kind)
        there = given.get(name, {})
        if not isinstance(there, dict):
            continue
        if default is not None and get_origin(field.annotation) is dict:
            yield from ((name, entry) for entry in default if entry not in there)
        elif name in given and (inner := _model(field.annotation)):
            yield from ((name, *path) for path in unlisted(inner, there, kind))


def merged(default: Any, given: Any) -> Any:
    """A default with what the file has."""
    if not isinstance(default, dict) or not isinstance(given, dict) or is_secret(given):
        return given
    kept = {
        name: merged(value, given[name]) if name in given else value
        for name, value in default.items()
        if given.get(name, value) is not None
    }
    both = {**kept, **{name: value for name, value in given.items() if name not in default}}
    if default.keys() <= given.keys():
        return {name: both[name] for name in given if name in both}
    # As the engine hands maps on: the order stands in the cache's configuration, and with another
    # one its container would be replaced.
    return dict(sorted(both.items()))


def _default(field: FieldInfo, kind: str) -> Any:
    """A field's default on a kind of target; None where it has none."""
    own = [note for note in field.metadata if isinstance(note, ByTarget)]
    return getattr(own[0], kind) if own else None


def _model(annotation: Any) -> type[Model] | None:
    """The model that a field is, of several the first; None of every other, such as a map."""
    union = get_origin(annotation) in (Union, UnionType)
    for kind in get_args(annotation) if union else (annotation,):
        if isinstance(kind, type) and issubclass(kind, Model):
            return kind
    return None
