"""Messages on their way: parsed by DuckDB into tables of its memory as they come."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

SQL = Path(__file__).parent / "sql"
# What separates the messages of a chunk on their way into DuckDB. It occurs in no JSON text: there
# it would be escaped (RFC 7464 separates JSON texts by it for the same reason).
SEPARATOR = b"\x1e"
# Others would have a partition of the table for each month that somebody made up.
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
COMMON = "partition INTEGER, message_offset BIGINT, reason VARCHAR, value BLOB"
COLUMNS = {
    "events": (
        "inference_uuid VARCHAR, model_name VARCHAR, model_version VARCHAR, data JSON, "
        "prediction DOUBLE, outputs JSON, details JSON, created_at TIMESTAMP"
    ),
    "feedback": "inference_uuid VARCHAR, score DOUBLE, feedback JSON, created_at TIMESTAMP",
}


def _statement(kind: str) -> str:
    micro = 1_000_000
    return (
        (SQL / f"{kind}.sql")
        .read_text()
        .replace("{earliest_us}", str(int(EARLIEST.timestamp()) * micro))
        .replace("{latest_us}", str(int(LATEST.timestamp()) * micro - 1))
    )


STATEMENTS = {kind: _statement(kind) for kind in COLUMNS}


@dataclass(frozen=True, order=True)
class Partition:
    """A partition of one life of a topic: made again, the topic has another id."""

    topic: str
    topic_id: str
    number: int


Record = tuple[int, bytes]  # a message: its offset and its value


@dataclass
class Move:
    """How far a batch takes a partition; start is None where the lake knows nothing of it."""

    start: int | None
    end: int
    lost: int = 0


@dataclass
class Batch:
    """Rows that go into the lake together, with what the lake is told about the partitions."""

    number: int
    kinds: Mapping[str, str]  # topic -> key of COLUMNS
    moves: dict[Partition, Move]
    size: int = 0  # in bytes
    started: float | None = None  # since when it holds something
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))

    @property
    def rows(self) -> int:
        """How many there are, of all kinds."""
        return sum(self.counts.values())

    def table(self, kind: str) -> str:
        """The table in DuckDB's memory that holds its rows of a kind."""
        return f"memory.main.{kind}_{self.number}"

    def open(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make its tables."""
        for kind, columns in COLUMNS.items():
            connection.execute(f"CREATE TABLE {self.table(kind)} ({COMMON}, {columns})")
        if any(move.lost for move in self.moves.values()):
            self.started = time.monotonic()

    def drop(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give its memory back."""
        for kind in (*COLUMNS, "moves"):
            connection.execute(f"DROP TABLE IF EXISTS {self.table(kind)}")

    def add(
        self,
        connection: duckdb.DuckDBPyConnection,
        messages: Mapping[Partition, list[Record]],
    ) -> None:
        """Parse messages; those of each partition are in order."""
        for partition, records in messages.items():
            self._add(connection, partition, records)
        if messages and self.started is None:
            self.started = time.monotonic()

    def _add(
        self,
        connection: duckdb.DuckDBPyConnection,
        partition: Partition,
        records: list[Record],
    ) -> None:
        kind = self.kinds[partition.topic]
        good: list[str] = []
        offsets: list[str] = []
        for offset, value in records:
            try:
                if SEPARATOR in value:
                    raise ValueError("a control character")
                good.append(value.decode())
                offsets.append(str(offset))
            except ValueError:
                self._reject(connection, kind, partition.number, offset, value)
        if good:
            connection.execute(
                STATEMENTS[kind].replace("{table}", self.table(kind)),
                {
                    "partition": partition.number,
                    "offsets": ",".join(offsets),
                    "values": SEPARATOR.decode().join(good),
                },
            )
        self.counts[kind] += len(records)
        self.size += sum(len(value) for _, value in records)
        self.moves[partition].end = records[-1][0] + 1

    def _reject(
        self,
        connection: duckdb.DuckDBPyConnection,
        kind: str,
        number: int,
        offset: int,
        value: bytes,
    ) -> None:
        connection.execute(
            f"INSERT INTO {self.table(kind)} (partition, message_offset, reason, value) "
            "VALUES (?, ?, 'not JSON', ?)",
            [number, offset, value],
        )

    def age(self) -> float:
        """Seconds since the first of what it holds came."""
        return 0 if self.started is None else time.monotonic() - self.started
