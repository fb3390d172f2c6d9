"""Whatever is killed or away, and whenever: each message is in the lake exactly once."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.kafka import broker, prepare
from tests.harness.lakehouse import Lakehouse, Stream, Writer, writer
from tests.harness.process import wait_for

pytestmark = pytest.mark.service

EVENTS = 10_000
KILLS = 10
AWAY_S = 20
# Of the container, and what DuckDB is given of it (settings/apps/lake_writer.py and its component).
LIMIT_MIB, DUCKDB_MIB = 320, "96"


@contextmanager
def sending(stream: Stream, events: int, seconds: float) -> Iterator[None]:
    """Events in the background, evenly over that time; all have arrived when the block ends."""

    def send() -> None:
        for _ in range(100):
            stream.send(events // 100)
            time.sleep(seconds / 100)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def settled(running: Writer) -> None:
    wait_for(lambda: running.flush(10).status_code == 204, what="everything in the lake")


def test_killed_at_random_nothing_is_lost_and_nothing_doubled(lake: Lakehouse, broker: str) -> None:
    stream = Stream(broker, partitions=3)
    seed = time.time_ns()
    chance = random.Random(seed)  # noqa: S311  # moments of a test
    with sending(stream, EVENTS, 30):
        for _ in range(KILLS):
            with writer(lake, stream, BATCH_ROWS="500", BATCH_SECONDS="0.5") as running:
                time.sleep(chance.uniform(0.2, 4))
                running.process.send_signal(signal.SIGKILL)
    with writer(lake, stream, BATCH_ROWS="500") as running:
        settled(running)
        assert running.memory_mib() < LIMIT_MIB
    assert stream.missing(lake) == {}, f"seed {seed}"
    assert len(stream.sent) == EVENTS


def test_kafka_restarts(lake: Lakehouse, tmp_path: Path) -> None:
    address = prepare(tmp_path)
    with broker(tmp_path, address):
        stream = Stream(address)
        with writer(lake, stream, BATCH_SECONDS="1") as running:
            stream.send(500)
            wait_for(lambda: running.health()["rows"] > 0, what="the first rows")
    # The writer's own end was told above; this one is there while the broker is not.
    with writer(lake, stream, BATCH_SECONDS="1") as running:
        wait_for(lambda: running.health()["status"] == "waiting", what="a word of it")
        with broker(tmp_path, address):
            stream.connect()
            stream.send(500)
            settled(running)
            process = running.process
            assert process.poll() is None
    assert stream.missing(lake) == {}


def test_kafka_is_killed_while_the_writer_reads(lake: Lakehouse, tmp_path: Path) -> None:
    address = prepare(tmp_path)
    with broker(tmp_path, address) as process:
        stream = Stream(address)
        with writer(lake, stream, BATCH_ROWS="300") as running:
            stream.send(1000)
            wait_for(lambda: running.health()["rows"] > 0, what="the first rows")
            process.kill()
            process.wait()
            with broker(tmp_path, address):
                stream.connect()
                stream.send(500)
                settled(running)
                assert running.health()["recreated"] == 0
    assert stream.missing(lake) == {}


@pytest.mark.parametrize("part", ["PostgreSQL", "S3"])
def test_a_server_is_away(lake: Lakehouse, broker: str, part: str) -> None:
    stream = Stream(broker)
    with writer(lake, stream, BATCH_ROWS="200", BATCH_SECONDS="1") as running:
        stream.send(500)
        settled(running)
        with sending(stream, 4000, AWAY_S):
            time.sleep(1)
            if part == "PostgreSQL":
                lake.database_gate.shut()
            else:
                lake.front.refuses = 503
            wait_for(lambda: running.health()["status"] == "waiting", what="a word of it")
            (problem,) = running.health()["problems"]
            before = running.health()["rows"]
            time.sleep(AWAY_S)
            assert running.health()["rows"] == before
            lake.database_gate.open()
            lake.front.refuses = 0
        assert "passw" not in problem
        settled(running)
        health = running.health()
        assert (health["status"], health["dropped"]) == ("ok", 0)
        assert running.memory_mib() < LIMIT_MIB
    assert stream.missing(lake) == {}
    assert lake.front.refused > 0 or part == "PostgreSQL"


def test_a_batch_of_much_stays_within_the_containers_memory(lake: Lakehouse, broker: str) -> None:
    """Kafka's largest messages, and the default batch of 20,000 rows."""
    stream = Stream(broker)
    large = "many words " * 80_000
    stream.send(40, data=large)
    stream.send(30_000)
    with writer(lake, stream, DUCKDB_MEMORY_MIB=DUCKDB_MIB) as running:
        settled(running)
        used, totals = running.memory_mib(), running.health()
    assert stream.missing(lake) == {}
    assert used < LIMIT_MIB, f"{used} MiB"
    print(f"{used} MiB; {totals}")
