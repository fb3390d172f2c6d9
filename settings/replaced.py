"""Keys of an earlier release: read for one release more, and named until the file is rewritten."""

from collections.abc import Mapping
from typing import Any

# `common.place` -> the key next to it that is `common.target` now.
OWNERS = {"docker": "engine", "proxmox": "node"}
# Keys of `common.node` -> their names in `common.target`.
RENAMED = {"name": "node"}


def keys(common: Any) -> list[str]:
    """The keys in a section `common` that its `target` has replaced."""
    if not isinstance(common, Mapping) or "target" in common:
        return []
    return [key for key in ("place", *OWNERS.values()) if common.get(key) is not None]


def with_target(common: Mapping[str, Any]) -> dict[str, Any]:
    """A section `common` without these keys; one that contradicts `place` stays, to be refused."""
    kind = common.get("place")
    owner = OWNERS.get(kind, "") if isinstance(kind, str) else ""
    gone = {"place", owner, *(key for key in OWNERS.values() if common.get(key) is None)}
    left = {key: value for key, value in common.items() if key not in gone}
    part = common.get(owner)
    if part is None:
        part = {}
    elif not isinstance(part, Mapping):
        return {**left, "target": part}
    names = RENAMED if owner == "node" else {}
    target = {names.get(key, key): value for key, value in part.items()}
    return {**left, "target": {"kind": kind, **target} if "place" in common else target}


def remedy(old: list[str], env: str = "ENV") -> str:
    """What to do about such keys in the file of `env`."""
    listed = ", ".join(f"datalab:common.{key}" for key in old)
    return (
        f"{listed}: common.target has replaced {'it' if len(old) == 1 else 'them'}, and the next "
        f"release reads it alone; `./lab check {env} --fix` rewrites the file"
    )
