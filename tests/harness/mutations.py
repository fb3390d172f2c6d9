"""Random damage to settings, as a person or a merge might do it; the same seed, the same damage."""

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

# What each type is most easily mistaken for, and what breaks careless code.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 22, 443, 1024, 65536, 10**9, 10**30, 0.5, 1e300),
    *("", "x", "yes", "8080", "true", "-", "a b", "ü", "\0", "\ud800", "x" * 3000, "{}", "[1]"),
    *("192.168.1.101", "192.168.1.1", "10.0.0.0/8", "0.0.0.0/0", "::1", "https://x", ".state/dev"),
    *([], {}, [None], [[]], {"secure": "v1:x"}, {"secure": 1}, {"x": {"y": {"z": 1}}}),
)
Path = tuple[Any, ...]


def seeded(seed: int) -> Random:
    """The same numbers for the same seed."""
    return Random(seed)  # noqa: S311 - to be repeated, not to be secret


def mutate(config: dict[str, Any], rng: Random) -> dict[str, Any]:
    """A copy of a stack's configuration with one to three random changes."""
    changed = copy.deepcopy(config)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        paths = list(_paths(changed))
        if paths:
            rng.choice(CHANGES)(changed, rng.choice(paths), rng)
    return changed


def _paths(tree: Any, at: Path = ()) -> Iterator[Path]:
    """Every place in a tree, sections and values alike."""
    for key in range(len(tree)) if isinstance(tree, list) else tree:
        yield (*at, key)
        if isinstance(tree[key], dict | list):
            yield from _paths(tree[key], (*at, key))


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _replace(tree: Any, path: Path, rng: Random) -> None:
    _at(tree, path[:-1])[path[-1]] = copy.deepcopy(rng.choice(VALUES))


def _remove(tree: Any, path: Path, rng: Random) -> None:
    del _at(tree, path[:-1])[path[-1]]


def _rename(tree: Any, path: Path, rng: Random) -> None:
    holder, key = _at(tree, path[:-1]), path[-1]
    if isinstance(key, str):
        name = rng.choice((key[:-1], key + "s", key.upper(), key.replace("_", "-"), "", "a.b", "ü"))
        holder[name] = holder.pop(key)


def _copy(tree: Any, path: Path, rng: Random) -> None:
    """The value of another setting, which is often valid alone and a clash together."""
    source = _at(tree, rng.choice(list(_paths(tree))))
    _at(tree, path[:-1])[path[-1]] = copy.deepcopy(source)


def _nudge(tree: Any, path: Path, rng: Random) -> None:
    """A number a little or a lot off, a switch turned, a text with a letter more."""
    holder, value = _at(tree, path[:-1]), _at(tree, path)
    if isinstance(value, bool):
        holder[path[-1]] = not value
    elif isinstance(value, int | float):
        holder[path[-1]] = rng.choice(
            (value + 1, value - 1, value * 2, value // 2, -value, str(value))
        )
    elif isinstance(value, str):
        holder[path[-1]] = rng.choice((value + "x", value[1:], value.upper(), [value], value + " "))


def _add(tree: Any, path: Path, rng: Random) -> None:
    holder = _at(tree, path)
    if isinstance(holder, dict):
        holder[rng.choice(("new", "machine", "container", "port", "secure", "gpu", "1"))] = (
            copy.deepcopy(rng.choice(VALUES))
        )
    elif isinstance(holder, list):
        holder.append(copy.deepcopy(rng.choice(VALUES)))


CHANGES: tuple[Callable[[Any, Path, Random], None], ...] = (
    *(_replace, _replace, _remove, _rename, _copy, _copy, _nudge, _nudge, _nudge, _add),
)
