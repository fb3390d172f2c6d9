"""What changes mean to those who use the lab: what reboots, what is away, what becomes of data.

The rehearsal and the merge request's note say it in the same words.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cli.lib.plan import Step

ROLES = "-roles"  # targets/ansible.py
SERVICE = "-container"  # targets/docker.py


@dataclass(frozen=True, kw_only=True)
class Away:
    """A service whose container is replaced, or goes for good where it is off.

    stop_s and start_s are the longest that stopping and starting may take, where that is known.
    """

    service: str
    off: bool = False
    stop_s: int | None = None
    start_s: int | None = None


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Names of machines, services and data, in the order in which they are touched.

    roles are those that run again; kept is None where nobody knows what there was.
    """

    reboots: tuple[str, ...]
    roles: tuple[str, ...]
    away: tuple[Away, ...]
    replaced: tuple[str, ...]
    deleted: tuple[str, ...]
    kept: tuple[str, ...] | None = None


def effects(
    steps: Iterable[Step],
    times: Mapping[str, tuple[int, int]] | None = None,
    data: Collection[str] | None = None,
) -> Effects:
    """The effects of steps.

    times are stop_s and start_s by container; data names all that there was before, as `named`.
    """
    found = list(steps)
    roles = (step for step in found if step.name.endswith(ROLES) and step.op == "update")
    gone = {op: _data(found, op) for op in ("replace", "delete")}
    return Effects(
        reboots=tuple(dict.fromkeys(step.reboots for step in found if step.reboots)),
        roles=tuple(step.name.removesuffix(ROLES) for step in roles),
        away=tuple(_away(found, times or {})),
        replaced=gone["replace"],
        deleted=gone["delete"],
        kept=None if data is None else tuple(sorted(set(data).difference(*gone.values()))),
    )


def named(kind: str, name: str) -> str:
    """The name of a resource in a report."""
    return f"{kind} {name}"


def _data(steps: Iterable[Step], op: str) -> tuple[str, ...]:
    touched = (step for step in steps if step.destroys_data and step.op == op)
    return tuple(named(step.kind, step.name) for step in touched)


def _away(steps: Iterable[Step], times: Mapping[str, tuple[int, int]]) -> Iterator[Away]:
    for step in steps:
        if step.kind != "Container" or step.op not in ("replace", "delete"):
            continue
        service = step.name.removesuffix(SERVICE)
        if step.op == "delete":
            yield Away(service=service, off=True)
        elif step.name in times:
            stop_s, start_s = times[step.name]
            yield Away(service=service, stop_s=stop_s, start_s=start_s)
        else:
            yield Away(service=service)


def lines(found: Effects, show: Callable[[str], str] = str) -> Iterator[str]:
    """The effects in words; `show` writes a name."""

    def listed(names: Iterable[str]) -> str:
        return ", ".join(map(show, names)) or "none"

    yield f"machines that reboot, with everything on them: {listed(found.reboots)}"
    if found.roles:
        yield f"roles that run again, and restart what they changed: {listed(found.roles)}"
    if not found.away:
        yield "services that are away: none"
    for away in found.away:
        state = "switched off" if away.off else "away while it is replaced"
        yield f"{state}: {show(away.service)}{_seconds(away)}"
    kept = "" if found.kept is None else f"kept: {_counted(found.kept)}; "
    yield f"data: {kept}replaced: {listed(found.replaced)}; deleted: {listed(found.deleted)}"


def _seconds(away: Away) -> str:
    if away.stop_s is None or away.start_s is None:
        return ""
    return f", at most {away.stop_s} s to stop and {away.start_s} s to answer again"


def _counted(names: Iterable[str]) -> str:
    """How many there are of each type."""
    counts = Counter(name.partition(" ")[0] for name in names)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none"
