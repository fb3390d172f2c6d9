"""What a project can ask for, and the one grammar of its names, which settings/ takes from here.

.gitlab-ci.yml, .ci/ and .ci/provision/ repeat the patterns for GitLab, which checks inputs before
any job exists; tests compare them. RE2 has no lookahead, so none is used here.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from provision.faults import Invalid

# `./lab up ENV --data` gives it to the engine as `yes`, and the engine to its commands: topics that
# left the settings then go with their messages.
DELETE_DATA = "DATALAB_DELETE_DATA"
# PostgreSQL cuts identifiers after 63 bytes (NAMEDATALEN), so two long names could be one.
POSTGRES_NAME = r"^[a-z_][a-z0-9_]{0,62}$"
# Kafka: at most 249 of these (org.apache.kafka.common.internals.Topic). A name starts with a letter
# or digit, or one underscore before it: Kafka refuses `.` and `..`, `__` is the prefix of its own
# topics, and its tools take a hyphen for an option.
KAFKA_NAME = r"^([a-zA-Z0-9][a-zA-Z0-9._-]{0,248}|_[a-zA-Z0-9][a-zA-Z0-9._-]{0,247})$"
PARTITIONS = (1, 1000)
# Ten years; Kafka's own default is a week.
RETENTION_HOURS = (1, 87_600)
FOR_EVER = -1  # in hours here and in Kafka's retention.ms
# host/namespace/model:tag, as Ollama's types/model/name.go takes them (isValidLen, isValidPart),
# which gives the host 350 characters, more than DNS. Each part starts with a letter or digit, so
# that none is `..`; a namespace has no dot.
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}"
MODEL_NAME = rf"(([A-Za-z0-9][A-Za-z0-9._-]{{0,252}}/)?[A-Za-z0-9][A-Za-z0-9_-]{{0,79}}/)?{_PART}"
MODEL_TAG = f":{_PART}"
MODEL = f"^{MODEL_NAME}({MODEL_TAG})?$"
# What Ollama leaves out where it shows a name: its own host, and there the namespace of its library
# (DisplayShortest in its types/model/name.go).
MODEL_DEFAULTS = r"(?i)^(registry\.ollama\.ai/(?=[^/]+/))?(library/(?=[^/]+$))?"
MODE = r"^(static|dynamic)$"
PROJECT = r"^[1-9][0-9]{0,18}$"
REQUEST = r"^[0-9a-f]{32}$"

# Taken by PostgreSQL itself, or with a meaning in GRANT even when quoted.
POSTGRES_RESERVED = frozenset({"postgres", "template0", "template1", "public", "none"})


def _text(pattern: str, meaning: str, **default: Any) -> Any:
    return field(metadata={"pattern": pattern, "help": meaning}, **default)


def _number(low: int, high: int, meaning: str, also: int | None = None, **default: Any) -> Any:
    return field(metadata={"range": (low, high), "also": also, "help": meaning}, **default)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A checked request. `kind` is its command and the folder of its record in Vault."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """The record's name below the project's `kind` folder."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Postgres(Spec):
    """A database and the role that owns it."""

    kind = "postgres"
    database: str = _text(POSTGRES_NAME, "database")
    user: str = _text(POSTGRES_NAME, "role that owns it")
    mode: str = _text(
        MODE,
        "static: one password; dynamic: Vault makes a user for an hour at each reading",
        default="static",
    )

    @property
    def name(self) -> str:
        return self.database


@dataclass(frozen=True, kw_only=True)
class Kafka(Spec):
    """A topic and the consumer group that reads it."""

    kind = "kafka"
    topic: str = _text(KAFKA_NAME, "topic")
    group: str = _text(KAFKA_NAME, "consumer group, initialised at the beginning of the topic")
    partitions: int = _number(*PARTITIONS, "partitions of a new topic", default=1)
    retention_hours: int = _number(
        *RETENTION_HOURS,
        "hours that messages are kept; -1: for ever",
        also=FOR_EVER,
        default=168,
    )

    @property
    def name(self) -> str:
        return self.topic


@dataclass(frozen=True, kw_only=True)
class Ollama(Spec):
    """A model that Ollama has at hand."""

    kind = "ollama"
    model: str = _text(MODEL, "model, such as llama3.2:1b; without a tag it is :latest")

    @property
    def name(self) -> str:
        """The model as it was asked for, with its tag."""
        return self.model if ":" in self.model else f"{self.model}:latest"

    @property
    def listed(self) -> str:
        """The model as /api/tags lists it, but for upper and lower case."""
        return re.sub(MODEL_DEFAULTS, "", self.name)


S = TypeVar("S", bound=Spec)

KINDS: dict[str, type[Spec]] = {spec.kind: spec for spec in (Postgres, Kafka, Ollama)}


def parse(spec: type[S], given: Mapping[str, object]) -> S:
    """`given` as a checked `spec`; Invalid names every fault at once."""
    known = {item.name: item for item in fields(spec)}
    faults = [f"{name}: not a field of {spec.kind}" for name in given if name not in known]
    values: dict[str, object] = {}
    for name, item in known.items():
        if name not in given:
            if item.default is MISSING:
                faults.append(f"{name}: missing")
            continue
        try:
            values[name] = _checked(item, given[name])
        except ValueError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise Invalid("\n".join(f"{spec.kind}.{fault}" for fault in faults))
    return spec(**values)


def identifier(pattern: str, what: str, value: str) -> str:
    """`value`, when the whole of it matches `pattern`; else Invalid."""
    if not re.fullmatch(pattern, value):
        raise Invalid(f"{what}: {value[:80]!r} does not match {pattern}")
    return value


def _checked(item: Field[Any], value: object) -> object:
    if "range" in item.metadata:
        low, high = item.metadata["range"]
        text = str(value)
        also = item.metadata["also"]
        if not re.fullmatch(r"-?[0-9]{1,9}", text) or not (
            low <= int(text) <= high or int(text) == also
        ):
            more = "" if also is None else f", or {also}"
            raise ValueError(f"{text[:20]!r} is not a whole number from {low} to {high}{more}")
        return int(text)
    pattern = item.metadata["pattern"]
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ValueError(f"{str(value)[:80]!r} does not match {pattern}")
    if pattern == POSTGRES_NAME and (value in POSTGRES_RESERVED or value.startswith("pg_")):
        raise ValueError(f"{value!r} is reserved by PostgreSQL")
    return value
