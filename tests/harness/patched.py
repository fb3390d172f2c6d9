"""The tests' own settings, and those with single values changed.

The committed Pulumi.dev.yaml and Pulumi.lab.yaml are for people to change (docs/machines.md), so
only tests/settings/test_load.py reads them: it says that they load.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from settings import Settings
from settings.defaults import ByTarget, filled, unlisted
from settings.stackfile import read_config

ROOT = Path(__file__).parents[2]


def sample_file(environment: str) -> Path:
    """The stack file that tests have for an environment."""
    return ROOT / f"tests/fixtures/stacks/Pulumi.{environment}.yaml"


def sample(environment: str) -> dict[str, Any]:
    """The configuration in sample_file."""
    return copy.deepcopy(_read(environment))


@cache
def _read(environment: str) -> dict[str, Any]:
    """Read once: a test of every setting asks a thousand times."""
    return read_config(sample_file(environment))


@cache
def _entries(kind: str) -> Mapping[str, Iterable[str]]:
    """Map -> the entries that it has by default on a kind of target; null takes one away."""
    layers = filled(Settings, {}, kind).items()
    sections: dict[str, Any] = {layer: {name: {} for name in there} for layer, there in layers}
    found: dict[str, list[str]] = {}
    for *place, entry in sorted(unlisted(Settings, sections, kind)):
        found.setdefault(".".join(place), []).append(entry)
    return found


# Maps that have entries by default. To set one of them here means all of it.
WITH_DEFAULTS = {place for kind in fields(ByTarget) for place in _entries(kind.name)}


def patched(
    environment: str, changes: Mapping[str, Any], removed: Iterable[str] = ()
) -> dict[str, Any]:
    """The sample configuration with values set and keys removed.

    Keys are dotted and below `datalab:`; one with a colon is a whole top-level key.
    """
    config = sample(environment)
    patch(config, changes, removed)
    return config


def patch(config: dict[str, Any], changes: Mapping[str, Any], removed: Iterable[str] = ()) -> None:
    """Set values of a stack's configuration and remove keys, in place."""
    for key, value in changes.items():
        holder, last = _reach(config, key)
        holder[last] = copy.deepcopy(value)
        if key in WITH_DEFAULTS and isinstance(value, dict):
            holder[last] = {**dict.fromkeys(_defaults(config, key)), **holder[last]}
    for key in removed:
        holder, last = _reach(config, key)
        parent = key.rpartition(".")[0]
        if parent in WITH_DEFAULTS and last in _defaults(config, parent):
            holder[last] = None
        else:
            del holder[last]


def _defaults(config: Mapping[str, Any], key: str) -> Iterable[str]:
    """The entries of a map that a configuration has by default."""
    return _entries(config["datalab:common"]["target"]["kind"]).get(key, ())


def _reach(config: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    if ":" in key:
        return config, key
    layer, *path = key.split(".")
    parts = [f"datalab:{layer}", *path]
    holder = config
    for part in parts[:-1]:
        holder = holder.setdefault(part, {})
    return holder, parts[-1]
