"""What is in the lakehouse, and how far the writer is."""

import json
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import duckdb

from datalab_edge.credentials import Lake
from datalab_edge.lake import ca_file, identifier, quoted
from datalab_edge.output import table

COLUMNS = ("table", "rows", "files", "MiB")
MIB = 1024 * 1024
ASK_S, MAINTAIN_S = 10, 600


class WriterError(Exception):
    """The lake writer cannot be asked, or could not do it."""


def status(connection: duckdb.DuckDBPyConnection, lake: Lake) -> str:
    """Each catalog's tables with their rows and files, its snapshots, and the writer's lag."""
    parts = []
    for catalog in lake.catalogs:
        rows = list(_tables(connection, catalog))
        found = connection.execute(
            f"SELECT count(*) FROM ducklake_snapshots({quoted(catalog)})"
        ).fetchone()
        parts.append(f"{catalog}: {len(rows)} tables, {found[0] if found else 0:,} snapshots")
        parts += [table(COLUMNS, rows), ""] if rows else [""]
    return "\n".join([*parts, _writer(lake)])


def _tables(
    connection: duckdb.DuckDBPyConnection, catalog: str
) -> Iterator[tuple[str, int, int, str]]:
    # The tables' names repeat in each schema; only DuckLake's own table of schemas tells them
    # apart.
    schemas = f"__ducklake_metadata_{catalog}.{identifier(catalog)}.ducklake_schema"
    for schema, name, files, size in connection.execute(
        "SELECT schema_name, table_name, file_count + delete_file_count, "
        "file_size_bytes + delete_file_size_bytes "
        f"FROM ducklake_table_info({quoted(catalog)}) JOIN {schemas} USING (schema_id) "
        "WHERE end_snapshot IS NULL ORDER BY 1, 2"
    ).fetchall():
        place = ".".join(identifier(part) for part in (catalog, schema, name))
        count = connection.execute(f"SELECT count(*) FROM {place}").fetchone()
        yield f"{schema}.{name}", count[0] if count else 0, files, f"{size / MIB:.1f}"


def _writer(lake: Lake) -> str:
    if lake.writer is None:
        return "lake writer: the credentials do not say where it is"
    try:
        said = _ask(lake, "GET", "health", ASK_S)
    except WriterError as error:
        return str(error)
    lag = ", ".join(f"{topic} {behind:,}" for topic, behind in sorted(said["lag"].items()))
    last = said["last_commit"]["seconds_ago"]
    parts = [
        f"lake writer: {said['status']}",
        f"lag {lag}" if lag else "no lag known yet",
        "no commit yet" if last is None else f"last commit {last:.0f} s ago",
        *said["problems"],
    ]
    return "; ".join(parts)


def maintain(lake: Lake) -> str:
    """Have the writer take care of the lake's files now; a line for each thing that was done."""
    if lake.writer is None:
        raise WriterError("the credentials do not say where the lake writer is (key writer)")
    done = _ask(lake, "POST", f"maintain?timeout={MAINTAIN_S}", MAINTAIN_S + ASK_S)
    return "\n".join(f"{what}: {count}" for what, count in done.items())


def _ask(lake: Lake, method: str, path: str, seconds: float) -> Any:
    url = str(lake.writer).rstrip("/") + "/" + path
    context = ssl.create_default_context(cafile=ca_file(lake.ca) if lake.ca else None)
    try:
        # The model of the credentials takes http and https only.
        request = Request(url, method=method)  # noqa: S310
        with urlopen(request, timeout=seconds, context=context) as answer:  # noqa: S310
            return json.load(answer)
    except HTTPError as error:
        raise WriterError(f"lake writer at {lake.writer}: {error.read().decode()}") from error
    except (URLError, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise WriterError(f"lake writer at {lake.writer}: {reason}") from error
