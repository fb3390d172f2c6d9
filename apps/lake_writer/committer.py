"""The one thread that commits, and between commits takes care of the lake's files."""

import logging
import time

import duckdb

from . import care
from .batch import Batch
from .settings import Settings
from .state import State
from .store import StaleError, Store
from .topics import Topics, TopicsError

LOG = logging.getLogger("lake_writer")
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 15.0


class Committer:
    """Puts each batch into the lake, however long that takes."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        connection: duckdb.DuckDBPyConnection,
        state: State,
    ):
        self._settings = settings
        self._topics = topics
        self._connection = connection
        self._store = Store(connection, settings.lake_catalog)
        self._state = state
        self._due = time.monotonic() + settings.maintenance_minutes * 60

    def prepare(self) -> None:
        """Make the tables, as soon as the lake can be reached."""
        while not self._state.stopping:
            try:
                self._store.prepare()
            except duckdb.Error as error:
                self._state.wait("committer", str(error), LAST_RETRY_S)
            else:
                self._state.goes_on("committer")
                return

    def step(self) -> None:
        """Commit a batch or maintain the lake; returns within a second where neither is due."""
        with self._state.changed:
            if not self._state.sealed and not self._maintenance_is_due():
                self._state.changed.wait(1)
            batch = self._state.sealed
        if batch:
            self._commit(batch)
        elif self._maintenance_is_due():
            self._maintain()

    def _commit(self, batch: Batch) -> None:
        wait = FIRST_RETRY_S
        while True:
            try:
                moved = self._recreated(batch)
                rejected = self._store.commit(batch)
            except StaleError as error:
                LOG.error("a batch of %d rows is dropped: %s", batch.rows, error)
                self._drop(batch)
                return
            except duckdb.OutOfMemoryException:
                self._state.shrink()
                self._drop(batch)
                return
            except (TopicsError, duckdb.Error) as error:
                self._state.totals.refused += 1
                self._state.wait("committer", str(error), wait)
                wait = min(wait * 2, LAST_RETRY_S)
                if self._state.stopping:
                    self._drop(batch)  # Kafka still has it
                    return
            else:
                self._state.goes_on("committer")
                if rejected is not None:
                    self._count(batch, rejected)
                self._done(batch, again=moved)
                self._topics.report({at: move.end for at, move in batch.moves.items()})
                return

    def _recreated(self, batch: Batch) -> bool:
        """Whether a topic is another one by now; StaleError where that may be in the batch.

        The id is asked for after all of the batch was read: the same as before, it was the same
        topic all the time.
        """
        now = self._topics.describe()
        if batch.moves.keys() <= now:
            return now != batch.moves.keys()
        ends = self._topics.ends(now - batch.moves.keys())
        for at, move in batch.moves.items():
            for other, end in ends.items():
                same = (other.topic, other.number) == (at.topic, at.number)
                if same and end > (move.start or 0):
                    raise StaleError(
                        f"topic {at.topic} was recreated, and which of the two topics the "
                        f"messages from offset {move.start or 0} on are from cannot be told"
                    )
        return True

    def _count(self, batch: Batch, rejected: int) -> None:
        with self._state.changed:
            totals = self._state.totals
            totals.rows += batch.rows
            totals.rejected += rejected
            totals.commits += 1
            totals.lost += sum(move.lost for move in batch.moves.values())
            self._state.last_commit, self._state.last_rows = time.time(), batch.rows
            if rejected:
                LOG.error("%d messages could not be read: inference_rejected has them", rejected)

    def _done(self, batch: Batch, *, again: bool) -> None:
        batch.drop(self._connection)
        with self._state.changed:
            self._state.safe |= {at: move.end for at, move in batch.moves.items()}
            self._state.again = again
            self._state.sealed = None
            self._state.changed.notify_all()

    def _drop(self, batch: Batch) -> None:
        batch.drop(self._connection)
        with self._state.changed:
            self._state.totals.dropped += 1
            self._state.again = True
            self._state.sealed = None
            self._state.changed.notify_all()

    def _maintenance_is_due(self) -> bool:
        asked = self._state.maintenance > self._state.maintained
        return asked or time.monotonic() >= self._due

    def _maintain(self) -> None:
        asked = self._state.maintenance
        done = care.maintain(
            self._connection, self._settings.lake_catalog, self._settings.keep_snapshots_days
        )
        self._due = time.monotonic() + self._settings.maintenance_minutes * 60
        with self._state.changed:
            self._state.maintained = max(self._state.maintained, asked)
            self._state.maintenance_result = done
            self._state.changed.notify_all()
