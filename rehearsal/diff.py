"""What changed between two sets of inputs, and whether it replaces the resource."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pulumi.runtime.proto import provider_pb2

from rehearsal import catalogue
from rehearsal.physics import UNREST

_KINDS = provider_pb2.PropertyDiff.Kind


def changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, ADD | DELETE | UPDATE) of every leaf that differs; paths as the engine writes them."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            inner = f"{path}.{name}" if path else name
            if name not in old:
                yield inner, "ADD"
            elif name not in new:
                yield inner, "DELETE"
            else:
                yield from changes(old[name], new[name], inner)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            inner = f"{path}[{index}]"
            if index >= len(old):
                yield inner, "ADD"
            elif index >= len(new):
                yield inner, "DELETE"
            else:
                yield from changes(old[index], new[index], inner)
    elif old != new:
        yield path, "UPDATE"


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
    for name in {*renewed, *(UNREST[token](new) if token in UNREST else ())}:
        found.setdefault(name, "UPDATE")
    detailed, replaces = {}, set()
    for path, word in found.items():
        top = path.partition(".")[0].partition("[")[0]
        forced = kind.forces_replacement(path) and not _stays(token, path, new)
        if forced:
            replaces.add(top)
        value = _KINDS.Value(f"{word}_REPLACE" if forced else word)
        detailed[path] = provider_pb2.PropertyDiff(kind=value, inputDiff=True)
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if found else response.DIFF_NONE,
        diffs=sorted({path.partition(".")[0].partition("[")[0] for path in found}),
        replaces=sorted(replaces),
        detailedDiff=detailed,
        hasDetailedDiff=True,
        deleteBeforeReplace=bool(replaces) and named_by_hand,
    )


def _stays(token: str, path: str, new: Mapping[str, Any]) -> bool:
    """A VM that may migrate changes its node in place (bpg, ForceNewIf)."""
    return (
        token == "proxmoxve:index/vmLegacy:VmLegacy"  # noqa: S105 - a resource type
        and path == "nodeName"
        and bool(new.get("migrate"))
    )
