"""What the model server logs is what the lake writer reads, on a real Kafka and a real lake."""

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from apps.model_server.events import KafkaEvents
from apps.model_server.lake import LakeWriter
from apps.model_server.models import Record
from apps.model_server.server import create
from apps.model_server.settings import load
from tests.harness.lakehouse import Lakehouse, Stream, writer

pytestmark = pytest.mark.service

RESULTS = "secure_stage.main.inference_results"


class Doubling:
    """A model that needs no MLflow."""

    def resolve(self, name: str, version: str | None) -> str:
        return version or "7"

    def predict(self, name: str, version: str, inputs: Sequence[Record]) -> list[Any]:
        return [2 * record["x"] for record in inputs]


def client(stream: Stream, writer_url: str) -> TestClient:
    given = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "LAKE_WRITER_URL": writer_url}
    settings = load({**stream.variables, **given})
    lake = LakeWriter(str(settings.lake_writer_url))
    return TestClient(create(settings, Doubling(), KafkaEvents(stream.broker), lake))


def test_answers_and_feedback_are_in_the_lake_once_a_flush_is_done(
    lake: Lakehouse, broker: str
) -> None:
    stream = Stream(broker)
    with writer(lake, stream) as running:
        with client(stream, running.url) as server:
            asked = {"model": "double", "inputs": [{"x": 21}]}
            one = server.post("/predict", json=asked).json()["id"]
            asked["inputs"] = [{"x": 1}, {"x": 2}]
            two = server.post("/predict", json=asked).json()["id"]
            assert server.post("/feedback", json={"id": one, "feedback": 1}).status_code == 202
            assert server.get("/inference/logs/flush").status_code == 204
        assert running.health()["rejected"] == 0
    rows = {
        row["inference_uuid"]: row
        for row in lake.ask(f"FROM {RESULTS} WHERE model_name = 'double'")
    }
    assert rows.keys() == {one, two}
    found = rows[one]
    assert (found["model_version"], found["prediction"], found["feedback"]) == ("7", 42, [1])
    assert rows[two]["prediction"] is None
    (outputs,) = lake.ask(
        "SELECT outputs[0]::INTEGER AS first, outputs[1]::INTEGER AS last "
        f"FROM secure_stage.main.inference_events WHERE inference_uuid = '{two}'"
    )
    assert outputs == {"first": 2, "last": 4}


def test_a_flush_says_what_the_lake_lacks(lake: Lakehouse, broker: str) -> None:
    with client(Stream(broker), "http://127.0.0.1:1") as server:
        answer = server.get("/inference/logs/flush")
    assert answer.status_code == 504
    assert "the lake writer does not answer" in answer.json()["detail"]["error"]
