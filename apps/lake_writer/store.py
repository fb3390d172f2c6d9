"""The lake's side: one transaction for rows and offsets."""

import logging
from contextlib import suppress
from datetime import UTC, datetime

import duckdb
from datalab_edge.lake import identifier, quoted

from .batch import COLUMNS, SQL, Batch, Partition

LOG = logging.getLogger("lake_writer")
TABLES = {
    "events": "inference_events",
    "feedback": "inference_feedback",
    "rejected": "inference_rejected",
}
OFFSETS = "inference_offsets"
# A row of offsets or two for each commit would be as many files; PostgreSQL has them until the
# next maintenance. The data itself always goes to files: in an encrypted catalog the rows that
# stand in PostgreSQL stand there in clear.
INLINED_ROWS = {OFFSETS: 1000, **dict.fromkeys(TABLES.values(), 0)}
OPTIONS = {"target_file_size": "128MB", "parquet_compression": "zstd"}


class StaleError(Exception):
    """The lake's offsets are not where this batch begins: another writer was here."""


class Store:
    """The tables in one catalog. Each thread needs one of its own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, catalog: str):
        self._connection = connection
        self._catalog = catalog

    def _at(self, table: str) -> str:
        return f"{identifier(self._catalog)}.main.{table}"

    def prepare(self) -> None:
        """Make the tables where they are missing, and set what is not set of their options.

        DuckLake takes options of tables that are committed only: killed in between, the writer sets
        them at its next start.
        """
        if not self._are_made():
            self._make()
        self._set_options()

    def _are_made(self) -> bool:
        known = self._connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'main' "
            "AND table_name = ?",
            [self._catalog, OFFSETS],
        ).fetchone()
        return bool(known and known[0])

    def _make(self) -> None:
        schema = f"{identifier(self._catalog)}.main"
        self._connection.begin()
        try:
            self._connection.execute((SQL / "tables.sql").read_text().replace("{schema}", schema))
            self._connection.commit()
        except BaseException:
            self._rollback()
            raise
        LOG.info("the tables are made in %s", self._catalog)

    def _set_options(self) -> None:
        known = self._connection.execute(
            f"SELECT scope_entry, option_name FROM {identifier(self._catalog)}.options() "
            "WHERE scope = 'TABLE'"
        ).fetchall()
        for table, rows in INLINED_ROWS.items():
            for name, value in {"data_inlining_row_limit": str(rows), **OPTIONS}.items():
                if (f"main.{table}", name) not in known:
                    self._connection.execute(
                        f"CALL {identifier(self._catalog)}.set_option({quoted(name)}, "
                        f"{quoted(value)}, table_name => {quoted(table)})"
                    )

    def offsets(self) -> dict[Partition, int]:
        """Up to where each partition is in the lake."""
        rows = self._connection.execute(
            f"SELECT topic, topic_id, partition, next_offset FROM {self._at(OFFSETS)}"
        ).fetchall()
        found = {Partition(*row[:3]): row[3] for row in rows}
        if len(found) < len(rows):
            raise StaleError(f"{self._at(OFFSETS)} has two rows for one partition: delete one")
        return found

    def commit(self, batch: Batch) -> int | None:
        """Put a batch into the lake; how many of its rows cannot be read, None if it was there.

        By another writer, or by a commit of ours whose answer was lost on its way. StaleError where
        the lake is elsewhere; duckdb.Error where it does not take the batch: it may be tried again.
        """
        self._note_moves(batch)
        self._connection.begin()
        try:
            if self._is_there(batch):
                self._connection.rollback()
                return None
            rejected = sum(self._insert(batch, kind) for kind in COLUMNS if batch.counts[kind])
            self._move(batch)
            self._connection.commit()
        except BaseException:
            self._rollback()
            raise
        return rejected

    def _is_there(self, batch: Batch) -> bool:
        known = self.offsets()
        now = {at: known.get(at) for at in batch.moves}
        if all(now[at] == move.start for at, move in batch.moves.items()):
            return False
        if all(now[at] == move.end for at, move in batch.moves.items()):
            return True
        raise StaleError("the lake's offsets are not where this batch begins")

    def _insert(self, batch: Batch, kind: str) -> int:
        """Its rows of a kind; how many of them cannot be read."""
        self._connection.execute(
            f"INSERT INTO {self._at(TABLES[kind])} "
            "SELECT * EXCLUDE (partition, message_offset, reason, value) "
            f"FROM {batch.table(kind)} WHERE reason IS NULL"
        )
        found = self._connection.execute(
            f"SELECT count(*) FROM {batch.table(kind)} WHERE reason IS NOT NULL"
        ).fetchone()
        rejected = int(found[0]) if found else 0
        if rejected:
            topic = next(name for name, of in batch.kinds.items() if of == kind)
            self._connection.execute(
                f"INSERT INTO {self._at(TABLES['rejected'])} "
                "SELECT ?, partition, message_offset, reason, value, ?::TIMESTAMP "
                f"FROM {batch.table(kind)} WHERE reason IS NOT NULL",
                [topic, datetime.now(UTC).replace(tzinfo=None)],
            )
        return rejected

    def _note_moves(self, batch: Batch) -> None:
        """Before the transaction: one that writes to memory as well as to the lake is refused."""
        self._connection.execute(
            f"CREATE OR REPLACE TABLE {batch.table('moves')} (topic VARCHAR, topic_id VARCHAR, "
            "partition INTEGER, is_new BOOLEAN, next_offset BIGINT, lost BIGINT)"
        )
        self._connection.executemany(
            f"INSERT INTO {batch.table('moves')} VALUES (?, ?, ?, ?, ?, ?)",
            [
                [at.topic, at.topic_id, at.number, move.start is None, move.end, move.lost]
                for at, move in batch.moves.items()
            ],
        )

    def _move(self, batch: Batch) -> None:
        """Every row is updated: two writers that only added partitions would both commit."""
        now = datetime.now(UTC).replace(tzinfo=None)
        same = "m.topic = o.topic AND m.topic_id = o.topic_id AND m.partition = o.partition"
        ours = f"FROM {batch.table('moves')} AS m WHERE {same}"
        self._connection.execute(
            f"UPDATE {self._at(OFFSETS)} AS o SET "
            f"next_offset = coalesce((SELECT m.next_offset {ours}), next_offset), "
            f"lost = lost + coalesce((SELECT m.lost {ours}), 0), "
            "commits = commits + 1, committed_at = ?",
            [now],
        )
        self._connection.execute(
            f"INSERT INTO {self._at(OFFSETS)} "
            "SELECT topic, topic_id, partition, next_offset, lost, 1, ? "
            f"FROM {batch.table('moves')} WHERE is_new",
            [now],
        )

    def _rollback(self) -> None:
        # A commit that failed has ended the transaction itself.
        with suppress(duckdb.Error):
            self._connection.rollback()
