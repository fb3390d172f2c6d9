"""What changed between two sets of inputs, and whether it replaces the resource."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pulumi.runtime.proto import provider_pb2

from rehearsal import catalogue
from rehearsal.rules import DRIFTS

_KINDS = provider_pb2.PropertyDiff.Kind


def changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, ADD | DELETE | UPDATE) of every leaf that differs; paths as the engine writes them."""
    if isinstance(old, list) and isinstance(new, list):
        parts = [dict(enumerate(old)), dict(enumerate(new))]
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        parts = [dict(old), dict(new)]
    else:
        if old != new:
            yield path, "UPDATE"
        return
    before, after = parts
    for name in sorted(before.keys() | after.keys()):
        inner = f"{path}[{name}]" if isinstance(name, int) else f"{path}.{name}".lstrip(".")
        if name not in before:
            yield inner, "ADD"
        elif name not in after:
            yield inner, "DELETE"
        else:
            yield from changes(before[name], after[name], inner)


def diff(
    token: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    named_by_hand: bool,
    renewed: Collection[str] = (),
) -> provider_pb2.DiffResponse:
    """The provider's answer: what changes, what that replaces, and in which order.

    named_by_hand: the bridge deletes before it replaces when somebody fixed a name that it would
    otherwise have made up (pulumi-terraform-bridge, DeleteBeforeReplace). renewed names outputs
    that the provider plans to renew by itself.
    """
    kind = catalogue.kind(token)
    found = dict(changes(old, new))
    for name in {*renewed, *(DRIFTS[token](new) if token in DRIFTS else ())}:
        found.setdefault(name, "UPDATE")
    forced = {path for path in found if kind.forces_replacement(path)}
    detailed = {
        path: provider_pb2.PropertyDiff(
            kind=_KINDS.Value(f"{word}_REPLACE" if path in forced else word), inputDiff=True
        )
        for path, word in found.items()
    }
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if found else response.DIFF_NONE,
        diffs=_tops(found),
        replaces=_tops(forced),
        detailedDiff=detailed,
        hasDetailedDiff=True,
        deleteBeforeReplace=bool(forced) and named_by_hand,
    )


def _tops(paths: Collection[str]) -> list[str]:
    return sorted({re.split(r"[.[]", path)[0] for path in paths})
