"""What the model server logs is what the lake writer reads, on a real Kafka and a real lake."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from apps.model_server.events import KafkaEvents
from apps.model_server.lake import LakeWriter
from apps.model_server.models import Models
from apps.model_server.registry import Facts
from apps.model_server.server import create
from apps.model_server.settings import load
from tests.apps.model_server.fakes import ENVIRONMENT, Opener, Registry, question
from tests.harness.lakehouse import Lakehouse, Stream, writer

pytestmark = pytest.mark.service

RESULTS = "secure_stage.main.inference_results"


def client(folder: Path, stream: Stream, writer_url: str) -> TestClient:
    """A model server with models of the test, which logs to the real Kafka."""
    given = {"LAKE_WRITER_URL": writer_url, "MODELS_FOLDER": str(folder)}
    settings = load({**ENVIRONMENT, **stream.variables, **given})
    registry = Registry({"double": Facts("2", {"champion": "2"})})
    lake = LakeWriter(str(settings.lake_writer_url))
    models = Models(settings, registry, Opener())
    return TestClient(create(settings, models, KafkaEvents(stream.broker), lake))


def test_answers_and_feedback_are_in_the_lake_once_a_flush_is_done(
    lake: Lakehouse, broker: str, tmp_path: Path
) -> None:
    stream = Stream(broker)
    with writer(lake, stream) as running:
        with client(tmp_path, stream, running.url) as server:
            answers = [
                server.post("/inference", json={**question(), "records": rows}).json()
                for rows in ([{"x": 21}], [{"x": 1}, {"x": 2}])
            ]
            one, two = (answer["inference_uuid"] for answer in answers)
            opinion = {"inference_uuid": one, "feedback": 1}
            assert server.patch("/inference", json=opinion).status_code == 204
            assert server.get("/inference/logs/flush").status_code == 204
        assert running.health()["rejected"] == 0
    rows = {
        row["inference_uuid"]: row
        for row in lake.ask(f"FROM {RESULTS} WHERE model_name = 'double'")
    }
    assert rows.keys() == {one, two}
    found = rows[one]
    assert (found["model_version"], found["prediction"], found["feedback"]) == ("2", 42, [1])
    assert rows[two]["prediction"] is None
    (outputs,) = lake.ask(
        "SELECT outputs[0]::INTEGER AS first, outputs[1]::INTEGER AS last "
        f"FROM secure_stage.main.inference_events WHERE inference_uuid = '{two}'"
    )
    assert outputs == {"first": 2, "last": 4}


def test_a_flush_says_what_the_lake_lacks(lake: Lakehouse, broker: str, tmp_path: Path) -> None:
    with client(tmp_path, Stream(broker), "http://127.0.0.1:1") as server:
        answer = server.get("/inference/logs/flush")
    assert answer.status_code == 504
    assert "the lake writer does not answer" in answer.json()["error"]
