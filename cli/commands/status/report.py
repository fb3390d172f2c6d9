"""What `./lab status` finds: rows, and what of them is not as the settings want it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cli.lib.pulumi import DRIFTED

# Words for a service that is well.
WELL = ("healthy", "running", "answers")
STARTING = "starting"  # it may become well by itself
UNKNOWN = "not known"  # nobody could be asked


@dataclass(frozen=True, kw_only=True)
class Row:
    """A service's container, or a service on a machine of its own; memory in bytes.

    problem is what is not as the settings want it, and what to do; empty where it is well.
    """

    layer: str
    service: str
    state: str
    wanted: str = ""
    running: str = ""
    since: datetime | None = None
    restarts: int = 0
    memory: int | None = None
    limit: int | None = None
    address: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine, or the node; sizes in bytes, None where nobody said."""

    name: str
    address: str
    state: str
    load: float | None = None
    cores: int | None = None
    memory: int | None = None
    memory_size: int | None = None
    disk: int | None = None
    disk_size: int | None = None
    since: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A nightly backup: when it last ended, and how; None where it never has."""

    of: str
    ended: datetime | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Ends:
    """A certificate or token and when it ends."""

    what: str
    when: datetime
    problem: str = ""


@dataclass
class Report:
    """An environment as it is; unreached are those that could not be asked, and why."""

    env: str
    start_page: str
    services: list[Row] = field(default_factory=list)
    machines: list[Host] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    ends: list[Ends] = field(default_factory=list)
    drift: dict[str, Any] | None = None
    unreached: list[str] = field(default_factory=list)

    def problems(self) -> Iterator[str]:
        """What is not as it should be, one line each."""
        for row in self.services:
            if row.problem:
                yield f"{row.service} {row.problem}"
        for host in self.machines:
            if host.problem:
                yield f"{host.name} {host.problem}"
        for backup in self.backups:
            if backup.problem:
                yield f"the backup of {backup.of} {backup.problem}"
        for end in self.ends:
            if end.problem:
                yield f"{end.what} {end.problem}"

    @property
    def code(self) -> int:
        """As `drift`'s: 1 where something could not be looked at, 7 where something is wrong."""
        return 1 if self.unreached else DRIFTED if any(self.problems()) else 0


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago, in the largest unit: 12 s, 5 min, 3 h, 4 d."""
    if moment is None:
        return "-"
    seconds = max(0, int(((now or datetime.now(UTC)) - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
