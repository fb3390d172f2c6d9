"""What the writer's threads tell each other and people."""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from .batch import Batch, Partition

LOG = logging.getLogger("lake_writer")
SMALLEST_SHARE = 1 / 256
LONGEST = 500  # of what is said of a problem


@dataclass
class Totals:
    """Since the process began."""

    rows: int = 0
    rejected: int = 0
    commits: int = 0
    lost: int = 0  # messages that Kafka deleted before they were read
    recreated: int = 0  # topics that were deleted and made again
    refused: int = 0  # commits that failed and were tried again
    # Batches that were given up: another writer was faster, a topic was recreated, memory was too
    # small, or the writer stops.
    dropped: int = 0


@dataclass
class State:
    """What threads share: changed while `changed` is held, single values are read without it.

    Two changes need no lock: of `stopping` by a signal, and of `totals.refused`, which has one
    thread.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    stopping: bool = False
    sealed: Batch | None = None  # handed over to the thread that commits
    again: bool = False  # read the lake's offsets and Kafka's again, drop what is in memory
    # Up to where everything is in the lake, as far as it is known.
    safe: dict[Partition, int] = field(default_factory=dict)
    wanted: dict[Partition, int] = field(default_factory=dict)  # a flush's own
    maintenance: int = 0  # how many were asked for
    maintained: int = 0  # how many of them are done
    maintenance_result: Mapping[str, int | str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)  # part -> what it waits for
    totals: Totals = field(default_factory=Totals)
    began: float = field(default_factory=time.time)
    last_commit: float | None = None
    last_rows: int = 0
    share: float = 1  # of the limits of a batch, since memory was too small for all of it

    def is_safe(self, targets: Mapping[Partition, int]) -> bool:
        """Whether the lake has everything before these offsets."""
        return all(self.safe.get(at, -1) >= offset for at, offset in targets.items())

    def shrink(self) -> None:
        """Memory was too small: batches and chunks have half their size from now on."""
        with self.changed:
            self.share = max(self.share / 2, SMALLEST_SHARE)
            LOG.warning(
                "DuckDB had too little memory: batches get 1/%d of their size (DUCKDB_MEMORY_MIB "
                "and the container's limit would help)",
                round(1 / self.share),
            )

    def wait(self, part: str, problem: str, seconds: float) -> None:
        """Note what a part waits for, say it the first time, and wait that long."""
        line = " ".join(problem.split())[:LONGEST]
        with self.changed:
            if line != self.problems.get(part):
                LOG.error("waiting: %s", line)
            self.problems[part] = line
            self.changed.wait_for(lambda: self.stopping, seconds)

    def goes_on(self, part: str) -> None:
        """A part waits no longer."""
        with self.changed:
            if self.problems.pop(part, None):
                LOG.info("the %s goes on", part)
