"""The parts of the benchmark that run with the packages of the writer's image."""

import json
import sys
import time

import duckdb
from datalab_edge.credentials import load
from datalab_edge.lake import connect

EVENTS = """
    SELECT 'id-' || i AS inference_uuid, 'model-' || (i % 5) AS model_name,
        (i % 3)::VARCHAR AS model_version, '"some words about number ' || i || '"' AS data,
        hash(i) % 1000 / 1000 AS prediction, NULL::JSON AS outputs, NULL::JSON AS details,
        TIMESTAMP '2025-01-01' + to_microseconds(i * ({year_us} // {count})) AS created_at
    FROM range({first}, {last}) AS t(i)
"""
YEAR_US = 365 * 86_400_000_000
TABLE = "secure_stage.main.bench_events"
FILES = "s3://lakehouse/bench"
POINT = "SELECT * FROM {events} WHERE inference_uuid = 'id-4321'"
MONTH = """
    SELECT model_name, created_at::DATE AS day, count(*), avg(prediction)
    FROM {events}
    WHERE created_at >= '2025-06-01' AND created_at < '2025-07-01' GROUP BY ALL
"""


def insert(stream: str, batch: str) -> dict[str, float]:
    """The rows that the writer wrote, from memory, in commits of the same size."""
    tables, rows = ("inference_events", "inference_feedback"), 0
    half = int(batch) // 2
    with connect(load(), ["secure_stage"], memory_limit="512MiB", threads=2) as lake:
        for table in tables:
            source, target = f"secure_stage.main.{table}", f"secure_stage.main.bench_{table}"
            lake.execute(
                f"CREATE TABLE memory.{table} AS FROM {source} "
                f"WHERE starts_with(inference_uuid, '{stream}-')"
            )
            lake.execute(f"CREATE TABLE {target} AS FROM {source} LIMIT 0")
            lake.execute(
                f"ALTER TABLE {target} SET PARTITIONED BY (year(created_at), month(created_at))"
            )
            counted = lake.execute(f"SELECT count(*) FROM memory.{table}").fetchall()
            rows = max(rows, int(counted[0][0]))
        begin = time.perf_counter()
        for first in range(0, rows, half):
            lake.begin()
            for table in tables:
                lake.execute(
                    f"INSERT INTO secure_stage.main.bench_{table} "
                    f"FROM memory.{table} LIMIT {half} OFFSET {first}"
                )
            lake.commit()
        return {"rows_s": 2 * rows / (time.perf_counter() - begin)}


def query(events: str) -> dict[str, float]:
    """Best seconds of each query, over the lake and over plain Parquet."""
    count = int(events)
    with connect(load(), ["secure_stage"], threads=2) as lake:
        lake.execute(
            f"CREATE TABLE {TABLE} AS {EVENTS.format(year_us=YEAR_US, count=1, first=0, last=0)}"
        )
        lake.execute(
            f"ALTER TABLE {TABLE} SET PARTITIONED BY (year(created_at), month(created_at))"
        )
        step = count // 10
        for first in range(0, count, step):
            chunk = EVENTS.format(year_us=YEAR_US, count=count, first=first, last=first + step)
            lake.execute(f"INSERT INTO {TABLE} {chunk}")
        lake.execute("CALL ducklake_merge_adjacent_files('secure_stage')")
        for month in range(1, 13):
            lake.execute(
                f"COPY (FROM {TABLE} WHERE month(created_at) = {month}) "
                f"TO '{FILES}/{month:02}.parquet' (COMPRESSION zstd)"
            )
        found = {}
        for name, sql in (("point", POINT), ("month", MONTH)):
            for kind, rows in (
                ("lake", TABLE),
                ("parquet", f"read_parquet('{FILES}/*.parquet')"),
            ):
                found[f"{name}_{kind}"] = best(lake, sql.format(events=rows))
        return found


def best(lake: duckdb.DuckDBPyConnection, sql: str) -> float:
    """The least of five."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        lake.execute(sql).fetchall()
        times.append(time.perf_counter() - begin)
    return min(times)


if __name__ == "__main__":
    part, *words = sys.argv[1:]
    print(json.dumps(insert(*words) if part == "insert" else query(*words)))
