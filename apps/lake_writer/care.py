"""The care of the lake's files.

The writer itself does it, between commits: a flush of inlined rows from outside refuses a commit.
"""

import logging
import time
from dataclasses import dataclass

import duckdb
from datalab_edge.lake import quoted

LOG = logging.getLogger("lake_writer")
# How long a file stays that no snapshot has any more, for queries that began before; and how old a
# file without any entry must be: it may be part of a commit on its way.
UNUSED, ORPHANED = "1 day", "1 day"


@dataclass(frozen=True)
class Step:
    """A call, and what its rows are."""

    call: str
    what: str


def steps(catalog: str, keep_days: int) -> tuple[Step, ...]:
    """In this order: what one leaves over, the next takes away."""
    name = quoted(catalog)
    return (
        Step(f"ducklake_flush_inlined_data({name})", "tables' small rows written to files"),
        Step(f"ducklake_rewrite_data_files({name})", "files rewritten without deleted rows"),
        Step(f"ducklake_merge_adjacent_files({name})", "small files merged"),
        Step(
            f"ducklake_expire_snapshots({name}, older_than => now() - INTERVAL '{keep_days} days')",
            "snapshots expired",
        ),
        Step(
            f"ducklake_cleanup_old_files({name}, older_than => now() - INTERVAL '{UNUSED}')",
            "unused files deleted",
        ),
        Step(
            f"ducklake_delete_orphaned_files({name}, older_than => now() - INTERVAL '{ORPHANED}')",
            "orphaned files deleted",
        ),
    )


def maintain(
    connection: duckdb.DuckDBPyConnection, catalog: str, keep_days: int
) -> dict[str, int | str]:
    """Merge small files, forget old snapshots, delete what nothing uses; what was done."""
    done: dict[str, int | str] = {}
    started = time.monotonic()
    for step in steps(catalog, keep_days):
        try:
            done[step.what] = len(connection.execute(f"CALL {step.call}").fetchall())
        except duckdb.Error as error:
            # Others change tables too; what is not done now is done next time.
            done[step.what] = f"failed: {error}"
            LOG.warning("maintenance: %s: %s", step.what, error)
    LOG.info("maintenance in %.1f s: %s", time.monotonic() - started, done)
    return done
