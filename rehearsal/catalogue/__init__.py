"""What each provider does with each type: ids, clashes, replacements, references. Data in YAML."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

from rehearsal import sdk
from rehearsal.refusals import RefusedError, table
from rehearsal.wire import Unknown

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
class Limit:
    """What each value at a path must be; else it is refused.

    matches is a pattern for the whole of a text; json says that a text is JSON, certificate that
    a file of this name holds a certificate, never that nothing but false may be given.
    """

    property: str
    refusal: str
    one_of: tuple[Any, ...] = ()
    matches: str = ""
    at_least: float | None = None
    json: bool = False
    certificate: bool = False
    never: bool = False

    def keeps(self, value: Any) -> bool:
        """Whether a value is what it must be."""
        try:
            if self.json:
                json.loads(value)
            if self.certificate:
                x509.load_pem_x509_certificate(Path(value).read_bytes())
        except (ValueError, OSError):
            return False
        return not (self.never and value) and (
            (not self.one_of or value in self.one_of)
            and re.fullmatch(self.matches or ".*", str(value), re.DOTALL) is not None
            and (self.at_least is None or value >= self.at_least)
        )

    def refuse(self, values: Mapping[str, Any]) -> None:
        """RefusedError for the first value that is not what it must be; unknown ones may be it."""
        top = self.property.partition("[")[0]
        known = ", ".join(map(str, self.one_of))
        words = {"name": values.get("name"), "option": self.property, "known": known}
        for value in at(values, self.property):
            if not isinstance(value, Unknown) and not self.keeps(value):
                raise RefusedError(self.refusal, at=top, value=value, **words)


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
    fills in where they are not given. outputs: templates like the id's. source: where all this is
    written.
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
    limits: tuple[Limit, ...] = ()
    outputs: Mapping[str, str] | None = None

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


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A provider's options: which names its server, the default port, and what they must be.

    early: the option without which it calls its server as soon as it is configured.
    """

    source: str
    server: str = ""
    port: int = 0
    early: str = ""
    limits: tuple[Limit, ...] = ()


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    made = {"needs": Need, "limits": Limit}
    return {
        name: tuple(made[name](**_fields(part)) for part in value)
        if name in made
        else _frozen(value)
        for name, value in row.items()
    }


def _rows(pattern: str) -> Iterator[tuple[str, Any]]:
    for file in sorted(Path(__file__).parent.glob(pattern)):
        yield from yaml.safe_load(file.read_text(encoding="utf-8")).items()


@cache
def kinds() -> Mapping[str, Kind]:
    """Every type that the simulators know more of than its SDK says."""
    return {token: Kind(**_fields(row)) for token, row in _rows("types/*.yaml")}


@cache
def providers() -> Mapping[str, Provider]:
    """Every package whose provider has options that the program sets."""
    return {package: Provider(**_fields(row)) for package, row in _rows("providers.yaml")}


# What is assumed of a type that the tables do not name; tests see to it that the program has none.
UNKNOWN = Kind(id="{hex12}", source="assumed")


def kind(token: str) -> Kind:
    """What is known of a type."""
    return kinds().get(token, UNKNOWN)


def limited(limits: tuple[Limit, ...], values: Mapping[str, Any], when: str) -> None:
    """RefusedError where a limit is broken that is looked at then: `check` or `apply`."""
    for limit in limits:
        if table()[limit.refusal].when == when:
            limit.refuse(values)


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
