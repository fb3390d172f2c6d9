"""What each provider does with each type: ids, clashes, replacements, references. Data in YAML."""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rehearsal import sdk

_FIELD = re.compile(r"\{(\w+)(?:\|(\{\w+}|[^{}]*))?}")


@dataclass(frozen=True, kw_only=True)
class Need:
    """A property that names another thing on the same server.

    property is a path, `[]` for each item of a list; by are the properties of the other thing
    that it may be known by (`id` too); always are values that name what is there without having
    been made. missing is the refusal where there is no such thing, holds
    the refusal to delete that thing as long as this one is there; with cascade it goes along.
    """

    property: str
    type: str
    by: tuple[str, ...]
    always: tuple[str, ...] = ()
    missing: str | None = None
    holds: str | None = None
    cascade: bool = False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A resource type.

    id: a template of inputs and outputs, `{name|default}`, with {serial} and {hexN} for what the
    server makes up. unique: the properties that no two may share, where that is not the id; taken:
    the refusal then (without one, the second creation takes over what is there). replaces: paths
    whose change replaces the resource, `all` with the exceptions in `keeps`. autoname: whether
    the bridge makes up a name that is not given. in_state: it exists nowhere but in the state.
    marks: what is deleted keeps its unique properties until the server forgets it.
    unread: outputs that the API tells once and never again. computed: inputs that the provider
    fills in where they are not given. source: where all this is written.
    """

    id: str
    source: str
    unique: tuple[str, ...] = ()
    taken: str | None = None
    replaces: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    autoname: bool = True
    in_state: bool = False
    marks: bool = False
    unread: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()

    def forces_replacement(self, path: str) -> bool:
        """Whether a change at a property path (`disks[0].fileId`) replaces the resource."""
        general = re.sub(r"\[[^]]*]", "[]", path)
        if self.replaces == ("all",):
            return re.split(r"[.[]", general)[0] not in self.keeps
        return any(
            general == forced
            or general.startswith((f"{forced}.", f"{forced}["))
            # A list or object that came or went as a whole takes what is in it along.
            or forced.startswith((f"{general}.", f"{general}["))
            for forced in self.replaces
        )


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def _need(row: Mapping[str, Any]) -> Need:
    fields = dict(row)
    for name in ("always", "by"):
        if name in fields:
            fields[name] = _tuple(fields[name])
    return Need(**fields)


@cache
def kinds() -> Mapping[str, Kind]:
    """Every type that the stand-ins know more of than its SDK says."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.yaml")):
        for token, row in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            fields = dict(row)
            for name in ("unique", "replaces", "keeps", "unread", "computed"):
                if name in fields:
                    fields[name] = _tuple(fields[name])
            fields["needs"] = tuple(_need(need) for need in row.get("needs", []))
            found[token] = Kind(**fields)
    return found


# What is assumed of a type that the tables do not name; tests see to it that the program has none.
UNKNOWN = Kind(id="{hex12}", source="assumed")


def kind(token: str) -> Kind:
    """What is known of a type."""
    return kinds().get(token, UNKNOWN)


def render(template: str, values: Mapping[str, Any]) -> str:
    """An id: `values` in a template's fields; KeyError for one that is not there."""

    def field(match: re.Match[str]) -> str:
        name, default = match.groups()
        if found := re.fullmatch(r"hex(\d+)", name):
            return secrets.token_hex(int(found[1]) // 2)
        value = values.get(name)
        if value is None:
            if default is None:
                raise KeyError(name)
            return render(default, values)
        return str(value).lower() if isinstance(value, bool) else str(value)

    return _FIELD.sub(field, template)


def at(values: Any, path: str) -> Iterator[Any]:
    """Every value at a path such as `networksAdvanced[].name`."""
    head, _, rest = path.partition(".")
    name, many = head.removesuffix("[]"), head.endswith("[]")
    value = values.get(name) if isinstance(values, Mapping) else None
    for item in value if many and isinstance(value, list) else [value]:
        if item is not None:
            if rest:
                yield from at(item, rest)
            else:
                yield item


def autonamed(package: str, token: str) -> bool:
    """Whether the bridge names the resource itself when its `name` is not given.

    Every bridged package but these calls SetAutonaming in its resources.go.
    """
    if package in ("random", "tls", "command") or not kind(token).autoname:
        return False
    shape = sdk.shape(package, token)
    return shape is not None and "name" in sdk.properties(shape.inputs)
