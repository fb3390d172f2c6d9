"""The lake writer on a real Kafka, PostgreSQL and S3: each message is in the lake exactly once."""

import json
import signal
import time
from typing import Any

import httpx
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import NewPartitions

from layers.services.postgresql import LAKEHOUSE as OWNER
from tests.harness.lakehouse import Lakehouse, Stream, writer
from tests.harness.process import wait_for

pytestmark = pytest.mark.service
# Makes the writer's tables in a catalog and is killed before it sets their third option.
KILLED = """
import os, signal, sys
from datalab_edge.credentials import load
from datalab_edge.lake import connect
from lake_writer.store import Store

class Connection:
    calls = 0
    def __init__(self, made):
        self.made = made
    def __getattr__(self, name):
        return getattr(self.made, name)
    def execute(self, statement, *values):
        self.calls += "set_option" in statement
        if self.calls == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.made.execute(statement, *values)

Store(Connection(connect(load(), sys.argv[1:])), sys.argv[1]).prepare()
"""


@pytest.fixture
def stream(broker: str) -> Stream:
    return Stream(broker)


def rejected(lake: Lakehouse, stream: Stream) -> list[dict[str, Any]]:
    return lake.ask(
        "SELECT topic, partition, message_offset, reason, value FROM "
        f"secure_stage.main.inference_rejected WHERE starts_with(topic, '{stream.name}') "
        "ORDER BY ALL"
    )


def test_an_answered_request_and_its_feedback_are_one_row(lake: Lakehouse, stream: Stream) -> None:
    event = stream.event(probabilities={"good": 0.25}, model={"name": "m", "version": 7})
    key = event["inference_uuid"]
    early = {"inference_uuid": key, "feedback": 0.5, "created_at": event["created_at"] - 5}
    late = {**early, "feedback": 1, "created_at": event["created_at"] + 5}
    words = {**early, "feedback": {"comment": "fine"}}
    with writer(lake, stream) as running:
        for opinion in (late, early, words):
            stream.produce(stream.feedback, json.dumps(opinion).encode(), key)
        stream.arrive()
        assert running.flush().status_code == 204
        # Feedback that came before its inference waits for it.
        stream.produce(stream.results, json.dumps(event).encode(), key)
        stream.arrive()
        assert running.flush().status_code == 204
        health = running.health()
    assert (health["status"], health["rows"], health["rejected"]) == ("ok", 4, 0)
    assert set(health["lag"].values()) == {0}
    (row,) = lake.ask(
        f"SELECT * FROM secure_stage.main.inference_results WHERE inference_uuid = '{key}'"
    )
    assert row.pop("created_at").startswith("20")
    assert row == {
        "inference_uuid": key,
        "model_name": "m",
        "model_version": "7",
        "data": '"what a fine day"',
        "prediction": 0.25,
        "feedback": [0.5, 1],
    }
    (more,) = lake.ask(
        f"SELECT details FROM secure_stage.main.inference_events WHERE inference_uuid = '{key}'"
    )
    assert json.loads(more["details"]) == {"probabilities": {"good": 0.25}}


def test_what_cannot_be_read_is_kept_with_the_reason(lake: Lakehouse, stream: Stream) -> None:
    wrong = {
        b"\xff\xfe": "not JSON",
        b"{": "not JSON",
        b"[]": "not a JSON object",
        b'{"inference_uuid": "a\x1eb"}': "not JSON",
        json.dumps(stream.event(inference_uuid=7)).encode(): "inference_uuid is not a text",
        json.dumps(stream.event(inference_uuid="\0")).encode(): "inference_uuid is not a text",
        json.dumps(stream.event(model="m")).encode(): "model.name is not a text",
        json.dumps(stream.event(data=None)).encode(): "data is missing",
        json.dumps(stream.event(prediction=None)).encode(): "prediction is missing",
        json.dumps(stream.event(created_at="now")).encode(): "created_at is not in microseconds",
        json.dumps(stream.event(created_at=time.time())).encode(): "created_at is not in micro",
        b"": "not JSON",
    }
    for value in wrong:
        stream.produce(stream.results, value)
    stream.produce(stream.feedback, b'{"inference_uuid": "x", "created_at": 1700000000000000}')
    # What is strange but right is no reason to lose anything.
    for changes in (
        {"data": "\0 \ud83d\ude00 é", "prediction": [0.1, 0.9]},
        {"data": [1, 2.5], "prediction": float("nan")},
        {
            "data": {"x": [{"y": None}]},
            "prediction": "a label",
            "model": {"name": "'\"", "version": "1"},
        },
    ):
        stream.send(1, **changes)
    with writer(lake, stream) as running:
        assert running.flush().status_code == 204
        assert running.health()["rejected"] == len(wrong) + 1
    found = rejected(lake, stream)
    assert [bytes.fromhex(row["value"]) for row in found[1:]] == list(wrong)
    for row, reason in zip(found[1:], wrong.values(), strict=True):
        assert row["reason"].startswith(reason)
    assert found[0]["reason"] == "feedback is missing"
    assert stream.missing(lake) == {}


def test_batches_wait_for_rows_or_age(lake: Lakehouse, stream: Stream) -> None:
    with writer(lake, stream, BATCH_ROWS="100", BATCH_SECONDS="3600") as running:
        stream.send(49)
        time.sleep(2)
        assert running.health()["rows"] == 0
        stream.send(1)
        wait_for(lambda: running.health()["rows"] == 100, what="a full batch")
        assert running.health()["commits"] == 1
        stream.send(1)
        time.sleep(2)
        assert running.health()["commits"] == 1
        # A flush of what is there, and none of what comes after it.
        assert running.flush().status_code == 204
        assert running.health()["commits"] == 2
        stream.send(1)
        time.sleep(2)
        assert running.health()["commits"] == 2
        # What is on its way is in the lake before the process ends.
    with writer(lake, stream, BATCH_SECONDS="2") as running:
        assert running.health()["lag"].get(stream.results, 0) == 0
        stream.send(1)
        wait_for(lambda: running.health()["commits"] == 1, what="an old batch")
    assert stream.missing(lake) == {}


def test_groups_in_kafka_show_how_far_the_lake_is(lake: Lakehouse, stream: Stream) -> None:
    stream.send(30)
    with writer(lake, stream) as running:
        assert running.flush().status_code == 204

        def committed() -> dict[str, int]:
            found: dict[str, int] = {}
            for topic in (stream.results, stream.feedback):
                group = f"{topic}_readers"
                asked = stream.admin.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(group)]
                )
                found |= {at.topic: at.offset for at in asked[group].result(30).topic_partitions}
            return found

        wait_for(
            lambda: committed() == {stream.results: 30, stream.feedback: 30}, what="the groups"
        )


def test_options_that_a_killed_writer_left_unset_are_set(lake: Lakehouse, stream: Stream) -> None:
    own = lake.as_role(OWNER, "begun")
    own.python("-m", "datalab_edge.catalogs", json.dumps({"begun": {}}))
    assert own.python("-c", KILLED, "begun", check=False).returncode == -signal.SIGKILL

    def options() -> dict[tuple[str, str], str]:
        rows = own.ask("FROM begun.options() WHERE scope = 'TABLE'")
        return {(row["scope_entry"], row["option_name"]): row["value"] for row in rows}

    assert len(options()) == 2
    # What somebody has set stays.
    kept = ("main.inference_events", "target_file_size")
    own.edge(
        "sql", "CALL begun.set_option('target_file_size', '1MB', table_name => 'inference_events')"
    )
    with writer(own, stream, LAKE_CATALOG="begun") as running:
        assert running.flush().status_code == 204
    assert options() == {
        (f"main.inference_{table}", name): value
        for table in ("events", "feedback", "rejected", "offsets")
        for name, value in {
            "data_inlining_row_limit": "1000" if table == "offsets" else "0",
            "target_file_size": "128000000",
            "parquet_compression": "zstd",
        }.items()
    } | {kept: "1000000"}


def test_of_two_writers_one_is_refused(lake: Lakehouse, stream: Stream) -> None:
    with (
        writer(lake, stream, BATCH_SECONDS="1") as first,
        writer(lake, stream, BATCH_SECONDS="1") as second,
    ):
        for _ in range(8):
            stream.send(100)
            time.sleep(0.7)
        for one in (first, second):
            assert one.flush().status_code == 204
        both = [first.health(), second.health()]
    assert sum(one["refused"] + one["dropped"] for one in both) > 0
    assert sum(one["rows"] for one in both) == 1600
    assert stream.missing(lake) == {}


def test_a_topic_made_again_is_read_from_its_beginning(lake: Lakehouse, stream: Stream) -> None:
    with writer(lake, stream) as running:
        stream.send(50)
        assert running.flush().status_code == 204
        stream.send(5)  # on its way when the topic goes
        wait_for(lambda: running.health()["lag"].get(stream.results) == 5, what="the last five")
        time.sleep(1)
        stream.admin.delete_topics([stream.results])[stream.results].result(30)
        time.sleep(2)
        stream.make(stream.results)
        stream.send(7)
        wait_for(lambda: running.flush(5).status_code == 204, what="the new topic")
        assert running.health()["recreated"] == 1
    assert stream.missing(lake) == {}
    offsets = lake.ask(
        "SELECT topic_id, next_offset FROM secure_stage.main.inference_offsets "
        f"WHERE topic = '{stream.results}' ORDER BY next_offset"
    )
    assert [row["next_offset"] for row in offsets] == [7, 55]
    assert len({row["topic_id"] for row in offsets}) == 2


def test_new_partitions_are_read(lake: Lakehouse, stream: Stream) -> None:
    with writer(lake, stream) as running:
        stream.send(10)
        assert running.flush().status_code == 204
        for topic in (stream.results, stream.feedback):
            stream.admin.create_partitions([NewPartitions(topic, 4)])[topic].result(30)
        time.sleep(1)
        stream.connect()  # the producer would know the new ones minutes later
        stream.send(200)
        assert running.flush().status_code == 204
    assert stream.missing(lake) == {}


def test_what_kafka_deleted_unread_is_a_counted_gap(lake: Lakehouse, stream: Stream) -> None:
    with writer(lake, stream) as running:
        stream.send(10)
        assert running.flush().status_code == 204
    stream.send(20)
    stream.forget(stream.results, 25)
    with writer(lake, stream) as running:
        assert running.flush().status_code == 204
        health = running.health()
    assert health["lost"] == 15
    (row,) = lake.ask(
        "SELECT next_offset, lost FROM secure_stage.main.inference_offsets "
        f"WHERE topic = '{stream.results}'"
    )
    assert row == {"next_offset": 30, "lost": 15}
    assert stream.missing(lake) == {"inference_events lost": 15}


def test_maintenance_leaves_one_file_for_a_month(lake: Lakehouse, stream: Stream) -> None:
    with writer(lake, stream) as running:
        for _ in range(4):
            stream.send(25)
            assert running.flush().status_code == 204
        asked = lake.with_document(writer=running.url)
        said = asked.edge("maintain").stdout
        assert "failed" not in said
        assert "lake writer: ok; lag" in asked.edge("status").stdout
        stream.send(1)
        assert running.flush().status_code == 204
        asked.edge("maintain")
    status = lake.edge("status").stdout
    (line,) = (line.split() for line in status.splitlines() if line.startswith("main.inference_ev"))
    (months,) = lake.ask(
        "SELECT count(DISTINCT date_trunc('month', created_at)) AS n "
        "FROM secure_stage.main.inference_events"
    )
    assert line[2] == str(months["n"])
    assert stream.missing(lake) == {}


def test_a_wrong_environment_ends_it_with_the_names_of_the_variables(lake: Lakehouse) -> None:
    done = lake.python("-m", "lake_writer", check=False)
    assert done.returncode == 1
    for name in ("KAFKA_BROKER_ENDPOINT", "INFERENCE_RESULTS_TOPIC", "INFERENCE_FEEDBACK_GROUP"):
        assert f"{name}: Field required" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_flush_that_cannot_be_says_what_is_missing(lake: Lakehouse, stream: Stream) -> None:
    with writer(lake, stream) as running:
        stream.send(3)
        assert running.flush().status_code == 204
        lake.database_gate.shut()
        try:
            stream.send(4)
            answer = running.flush(3)
        finally:
            lake.database_gate.open()
        assert answer.status_code == 504
        assert answer.json()["lag"][stream.results] == 4
        assert httpx.post(f"{running.url}/flush?timeout=x").status_code == 422
        assert running.flush().status_code == 204
    assert stream.missing(lake) == {}
