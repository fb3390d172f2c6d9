"""The committed settings with single values changed: nobody writes a second set of settings."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from settings.stackfile import read_config

ROOT = Path(__file__).parents[2]


def committed(environment: str) -> dict[str, Any]:
    """The configuration of an environment as it is committed."""
    return read_config(ROOT / f"Pulumi.{environment}.yaml")


def patched(
    environment: str, changes: Mapping[str, Any], removed: Iterable[str] = ()
) -> dict[str, Any]:
    """The committed configuration with values set and keys removed.

    Keys are dotted and below `datalab:`; one with a colon is a whole top-level key.
    """
    config = committed(environment)
    patch(config, changes, removed)
    return config


def patch(config: dict[str, Any], changes: Mapping[str, Any], removed: Iterable[str] = ()) -> None:
    """Set values of a stack's configuration and remove keys, in place."""
    for key, value in changes.items():
        holder, last = _reach(config, key)
        holder[last] = copy.deepcopy(value)
    for key in removed:
        holder, last = _reach(config, key)
        del holder[last]


def _reach(config: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    if ":" in key:
        return config, key
    layer, *path = key.split(".")
    parts = [f"datalab:{layer}", *path]
    holder = config
    for part in parts[:-1]:
        holder = holder.setdefault(part, {})
    return holder, parts[-1]
