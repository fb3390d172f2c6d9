"""The thread that reads Kafka and fills batches."""

import logging
import time
from collections.abc import Mapping

import duckdb

from .batch import Batch, Move, Partition
from .settings import Settings
from .state import State
from .store import StaleError, Store
from .topics import PartitionsMovedError, Topics, TopicsError

LOG = logging.getLogger("lake_writer")
LOOK_S = 0.2  # how long one look at Kafka waits for messages
RETRY_S = 2.0
# How often it asks whether there are other partitions than it reads.
DESCRIBE_S = 30.0


class Reader:
    """Fills one batch while another is committed; both together bound what is in memory."""

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
        self._position: dict[Partition, int] = {}
        self._noted: set[str] = set()  # ids of recreated topics that the log has
        self._numbers = 0
        self._kinds = {
            settings.inference_results_topic: "events",
            settings.inference_feedback_topic: "feedback",
        }

    def run(self) -> None:
        """Until the state says stop."""
        while not self._state.stopping:
            try:
                batch = self._plan()
                self._state.goes_on("reader")
                self._fill(batch)
            except PartitionsMovedError as error:
                LOG.warning("%s: reading starts again from the lake's offsets", error)
            except duckdb.OutOfMemoryException:
                self._state.shrink()
            except (TopicsError, StaleError, duckdb.Error) as error:
                self._state.wait("reader", str(error), RETRY_S)

    def _plan(self) -> Batch:
        """Where each partition goes on, by the lake's offsets and what Kafka still has."""
        with self._state.changed:
            # What is being committed changes those offsets.
            while self._state.sealed and not self._state.stopping:
                self._state.changed.wait(1)
            self._state.again = False
        partitions = self._topics.describe()
        if missing := self._topics.missing(partitions):
            raise TopicsError(f"Kafka has no topic {' and no topic '.join(missing)}")
        known = self._store.offsets()
        self._note_recreated(partitions, known)
        starts, ends = self._topics.starts(partitions), self._topics.ends(partitions)
        moves = {at: _start(at, known.get(at), starts[at], ends[at]) for at in sorted(partitions)}
        self._position = {at: move.end for at, move in moves.items()}
        self._topics.read_from(self._position)
        with self._state.changed:
            self._state.safe = {
                at: move.end if move.start is None else move.start for at, move in moves.items()
            }
            wanted = self._state.wanted.items()
            self._state.wanted = {at: end for at, end in wanted if at in moves}
        return self._open(moves)

    def _note_recreated(self, now: set[Partition], known: Mapping[Partition, object]) -> None:
        ids = {at.topic_id for at in known} | self._noted
        before = {at.topic for at in known}
        for topic, topic_id in {(at.topic, at.topic_id) for at in now if at.topic_id not in ids}:
            if topic in before:
                LOG.error("topic %s was recreated: it is read from its beginning", topic)
                # Once: until the first commit of its messages the lake does not know it.
                self._noted.add(topic_id)
                with self._state.changed:
                    self._state.totals.recreated += 1

    def _open(self, moves: dict[Partition, Move]) -> Batch:
        self._numbers += 1
        batch = Batch(self._numbers, self._kinds, moves)
        batch.open(self._connection)
        return batch

    def _fill(self, batch: Batch) -> None:
        """Read until reading has to start again; hand over what is full or old enough."""
        looked = time.monotonic()
        try:
            while not self._state.again:
                if self._state.stopping:
                    self._hand_over(batch)
                    return
                if time.monotonic() - looked > DESCRIBE_S:
                    looked = time.monotonic()
                    if self._topics.describe() != set(batch.moves):
                        raise PartitionsMovedError("the topics' partitions have changed")
                chunk = self._topics.take(LOOK_S, self._state.share)
                batch.add(self._connection, chunk.records)
                for at in chunk.records:
                    self._position[at] = batch.moves[at].end
                for at, end in chunk.ends.items():
                    self._position[at] = max(self._position[at], end)
                if self._is_due(batch) and self._hand_over(batch):
                    batch = self._open(_continued(batch.moves))
        except PartitionsMovedError:
            # What was read before is good; the offsets that come next are not.
            self._hand_over(batch)
            raise
        finally:
            if self._state.sealed is not batch:
                batch.drop(self._connection)

    def _is_due(self, batch: Batch) -> bool:
        with self._state.changed:
            targets = dict(self._state.wanted)
        if targets.keys() - batch.moves.keys():
            raise PartitionsMovedError("the topics' partitions have changed")
        if batch.started is None:
            self._nothing_waits()
            return False
        wanted, share = self._settings, self._state.share
        if batch.rows >= wanted.batch_rows * share or batch.size >= wanted.batch_bytes * share:
            return True
        if batch.age() >= wanted.batch_seconds:
            return True
        # A flush waits for this batch, and all that it asked for has been read.
        waits = any((batch.moves[at].start or 0) < end for at, end in targets.items())
        return waits and all(self._position[at] >= end for at, end in targets.items())

    def _nothing_waits(self) -> None:
        """Offsets without messages, as a transaction's end has, are no rows that are missing."""
        with self._state.changed:
            if self._state.sealed is None and not self._state.again:
                self._state.safe = dict(self._position)
                self._state.changed.notify_all()

    def _hand_over(self, batch: Batch) -> bool:
        """Give a batch to the thread that commits, once that has none; whether it was given."""
        if batch.started is None:
            return False
        with self._state.changed:
            while self._state.sealed and not self._state.again:
                self._state.changed.wait(1)
            if self._state.again:
                return False
            self._state.sealed = batch
            self._state.changed.notify_all()
            return True


def _continued(moves: Mapping[Partition, Move]) -> dict[Partition, Move]:
    return {at: Move(move.end, move.end) for at, move in moves.items()}


def _start(at: Partition, start: int | None, low: int, high: int) -> Move:
    """Where a partition goes on, that Kafka has from low to high, and the lake up to start."""
    if start is None:
        return Move(None, low)
    if start < low:
        LOG.error(
            "%s/%d: %d messages were lost, as Kafka deleted them before they were read "
            "(offsets %d to %d)",
            *(at.topic, at.number, low - start, start, low - 1),
        )
        return Move(start, low, lost=low - start)
    if start > high:
        LOG.error(
            "%s/%d: Kafka has lost messages that are in the lake (it ends at %d, the lake at "
            "%d): reading goes on with its next one",
            *(at.topic, at.number, high, start),
        )
        return Move(start, high)
    return Move(start, start)
