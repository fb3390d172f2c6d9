"""What the way into the lake and the way out of it cost, on a real Kafka, PostgreSQL and S3.

    .venv/bin/python -m tests.lake.bench [--quick]

In: rows per second of the lake writer, from messages that Kafka has to rows of the lake, against
the same rows inserted into the same lake from memory, in commits of the same size.
Out: a point query and a month's aggregate over 10 million events, against the same rows in plain
Parquet files of the same bucket, a file for each month; best of five each. --quick takes 1 million.
The last line is one JSON object; bars are for the whole run, as small tables are all overhead.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.harness.kafka import kafka
from tests.harness.lakehouse import Lakehouse, Stream, lakehouse, writer

INSIDE = Path(__file__).parent / "bench_inside.py"
BATCH = 20_000
BARS = {"writer_to_insert": 0.5, "aggregate_to_parquet": 1.3}


def inside(lake: Lakehouse, *words: str) -> dict[str, float]:
    """Run a part of bench_inside.py with the packages of the writer's image."""
    said: dict[str, float] = json.loads(lake.python(str(INSIDE), *words).stdout)
    return said


def write(lake: Lakehouse, stream: Stream, rows: int) -> dict[str, float]:
    """Rows per second of the writer, and the most memory that it took."""
    with writer(lake, stream, BATCH_ROWS=str(BATCH)) as running:
        stream.send(1)
        running.flush()
        # It shall not begin before all is there.
        running.process.send_signal(signal.SIGSTOP)
        for _ in range(10):
            stream.send(rows // 20)  # each with its feedback
        running.process.send_signal(signal.SIGCONT)
        begin = time.perf_counter()
        answer = running.flush(300)
        seconds = time.perf_counter() - begin
        if answer.status_code != 204:
            sys.exit(answer.text)
        memory = running.memory_mib()
    if wrong := stream.missing(lake):
        sys.exit(f"the lake is wrong: {wrong}")
    return {"rows_s": rows / seconds, "peak_mib": memory}


def main() -> None:
    """Print progress, then one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    quick = parser.parse_args().quick
    rows, events = (60_000, 1_000_000) if quick else (400_000, 10_000_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the servers are other users
        parts = [folder / part for part in ("lake", "kafka")]
        for part in parts:
            part.mkdir()
        with lakehouse(parts[0], front=False) as lake, kafka(parts[1]) as broker:
            print(f"the writer with {rows:,} rows", file=sys.stderr)
            stream = Stream(broker)
            own = write(lake, stream, rows)
            print("rows from memory", file=sys.stderr)
            plain = inside(lake, "insert", stream.name, str(BATCH))
            print(f"queries over {events:,} events", file=sys.stderr)
            queries = inside(lake, "query", str(events))
    found: dict[str, object] = {
        "writer_rows_s": round(own["rows_s"]),
        "insert_rows_s": round(plain["rows_s"]),
        "writer_to_insert": round(own["rows_s"] / plain["rows_s"], 2),
        "writer_peak_mib": own["peak_mib"],
        "point_to_parquet": round(queries["point_lake"] / queries["point_parquet"], 2),
        "aggregate_to_parquet": round(queries["month_lake"] / queries["month_parquet"], 2),
        **{f"{query}_s": round(seconds, 3) for query, seconds in queries.items()},
        "events": events,
    }
    if not quick:
        wrong = {
            "writer_to_insert": own["rows_s"] < BARS["writer_to_insert"] * plain["rows_s"],
            "aggregate_to_parquet": queries["month_lake"]
            > BARS["aggregate_to_parquet"] * queries["month_parquet"],
        }
        found |= {"bars": BARS, "missed": [bar for bar, missed in wrong.items() if missed]}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
