"""The model server: its interface on stand-ins, and all of it on real MLflow and Kafka."""

import json
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic
from fastapi.testclient import TestClient

from apps.model_server.events import EventsFullError
from apps.model_server.lake import NotInLakeError
from apps.model_server.models import ModelInputError, ModelNotFoundError, Record
from apps.model_server.server import create
from apps.model_server.settings import Settings, SettingsError, load
from tests.harness.kafka import kafka
from tests.harness.mlflow import MODEL_SERVER, ROOT, mlflow, programs
from tests.harness.process import clean_environment, free_port, server

ENVIRONMENT = {
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    "KAFKA_BROKER_ENDPOINT": "kafka:29092",
    "INFERENCE_RESULTS_TOPIC": "results",
    "INFERENCE_RESULTS_GROUP": "results-readers",
    "INFERENCE_FEEDBACK_TOPIC": "feedback",
    "INFERENCE_FEEDBACK_GROUP": "feedback-readers",
    "LAKE_WRITER_URL": "http://lake-writer:8001",
}
TRAIN = """
import mlflow, pandas, sklearn.linear_model
data = pandas.DataFrame({"x": [1.0, 2.0, 3.0]})
model = sklearn.linear_model.LinearRegression().fit(data, 2 * data["x"])
with mlflow.start_run():
    mlflow.sklearn.log_model(
        model, name="model", registered_model_name="double", input_example=data
    )
mlflow.MlflowClient().set_registered_model_alias("double", "champion", 1)
"""


class Doubling:
    """One model, `double`, in version 1."""

    def resolve(self, name: str, version: str | None) -> str:
        if name != "double" or version not in (None, "1", "champion"):
            raise ModelNotFoundError(f"model {name} has no version {version}")
        return "1"

    def predict(self, name: str, version: str, inputs: Sequence[Record]) -> list[Any]:
        if any("x" not in record for record in inputs):
            raise ModelInputError("there is no x")
        return [2 * record["x"] for record in inputs]


class Recorded:
    """Events of the test; `full` refuses more."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.full = self.closed = self.flushed = False

    def send(self, topic: str, key: str, event: dict[str, Any]) -> None:
        if self.full:
            raise EventsFullError("Kafka does not answer")
        self.sent.append((topic, key, event))

    def flush(self) -> None:
        if self.full:
            raise EventsFullError("Kafka does not answer")
        self.flushed = True

    def close(self) -> None:
        self.closed = True


class Lake:
    """The lake of the test; it has nothing where `lag` is set."""

    def __init__(self) -> None:
        self.lag = 0

    def flush(self) -> None:
        if self.lag:
            raise NotInLakeError({"error": "not in the lake", "lag": {"results": self.lag}})


@pytest.fixture
def events() -> Recorded:
    return Recorded()


@pytest.fixture
def lake() -> Lake:
    return Lake()


@pytest.fixture
def client(events: Recorded, lake: Lake) -> Iterator[TestClient]:
    with TestClient(create(load(ENVIRONMENT), Doubling(), events, lake)) as made:
        yield made


def test_settings_are_typed_and_every_fault_is_told_at_once() -> None:
    assert load(ENVIRONMENT).inference_feedback_group == "feedback-readers"
    wrong = {**ENVIRONMENT, "KAFKA_BROKER_ENDPOINT": "kafka", "INFERENCE_RESULTS_TOPIC": "a b"}
    del wrong["MLFLOW_TRACKING_URI"]
    with pytest.raises(SettingsError) as caught:
        load(wrong)
    names = {line.split(":")[0] for line in str(caught.value).splitlines()}
    assert names == {"MLFLOW_TRACKING_URI", "KAFKA_BROKER_ENDPOINT", "INFERENCE_RESULTS_TOPIC"}


def test_every_setting_is_one_that_the_layer_gives() -> None:
    optional = {name for name, field in Settings.model_fields.items() if not field.is_required()}
    assert {name.lower() for name in ENVIRONMENT} == set(Settings.model_fields) - optional


def test_prediction_is_answered_and_logged_under_the_same_id(
    client: TestClient, events: Recorded
) -> None:
    answer = client.post("/predict", json={"model": "double", "inputs": [{"x": 2}, {"x": 4}]})
    assert answer.status_code == 200
    assert answer.json()["outputs"] == [4, 8]
    assert answer.json()["version"] == "1"
    ((topic, key, event),) = events.sent
    assert topic == "results"
    assert key == event["inference_uuid"] == answer.json()["id"]
    assert event["model"] == {"name": "double", "version": "1"}
    assert event["data"] == [{"x": 2}, {"x": 4}]
    assert event["prediction"] == [4, 8]
    assert abs(event["created_at"] / 1e6 - time.time()) < 60
    client.post("/predict", json={"model": "double", "inputs": [{"x": 3}]})
    assert events.sent[1][2]["prediction"] == 6


def test_feedback_goes_to_its_own_topic(client: TestClient, events: Recorded) -> None:
    given = str(uuid.uuid4())
    answer = client.post("/feedback", json={"id": given, "feedback": {"right": True}})
    assert answer.status_code == 202
    ((topic, key, event),) = events.sent
    assert (topic, key, event["feedback"]) == ("feedback", given, {"right": True})


def test_consumers_learn_topics_with_their_groups(client: TestClient) -> None:
    assert client.get("/streams").json() == {
        "results": {"topic": "results", "group": "results-readers"},
        "feedback": {"topic": "feedback", "group": "feedback-readers"},
    }


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ({"model": "none", "inputs": [{"x": 1}]}, 404),
        ({"model": "double", "version": "7", "inputs": [{"x": 1}]}, 404),
        ({"model": "double", "inputs": [{"y": 1}]}, 422),
        ({"model": "double", "inputs": []}, 422),
        ({"model": "a/b", "inputs": [{"x": 1}]}, 422),
        ({"model": "a' OR name = 'b", "inputs": [{"x": 1}]}, 422),
        ({"inputs": [{"x": 1}]}, 422),
    ],
)
def test_wrong_questions_are_refused_and_not_logged(
    client: TestClient, events: Recorded, question: dict[str, Any], status: int
) -> None:
    answer = client.post("/predict", json=question)
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert events.sent == []


def test_an_answer_that_cannot_be_logged_is_none(client: TestClient, events: Recorded) -> None:
    events.full = True
    answer = client.post("/predict", json={"model": "double", "inputs": [{"x": 2}]})
    assert (answer.status_code, answer.json()["detail"]) == (503, "Kafka does not answer")


def test_a_flush_is_done_when_the_lake_has_everything(
    client: TestClient, events: Recorded, lake: Lake
) -> None:
    answer = client.get("/inference/logs/flush")
    assert (answer.status_code, answer.content, events.flushed) == (204, b"", True)
    lake.lag = 3
    late = client.get("/inference/logs/flush")
    assert (late.status_code, late.json()["detail"]["lag"]) == (504, {"results": 3})
    events.full = True
    assert client.get("/inference/logs/flush").status_code == 504


def test_events_are_delivered_before_it_ends(events: Recorded) -> None:
    with TestClient(create(load(ENVIRONMENT), Doubling(), events, Lake())) as made:
        assert made.get("/health").json() == {"status": "ok"}
    assert events.closed


def run(code: str, uri: str, folder: Path) -> None:
    env = clean_environment(MLFLOW_TRACKING_URI=uri, HOME=str(folder))
    command = [str(programs(MODEL_SERVER) / "python"), "-c", code]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def read(broker: str, topic: str, group: str) -> dict[str, Any]:
    """The first event that a consumer of the group gets."""
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": group, "auto.offset.reset": "earliest"}
    )
    try:
        consumer.subscribe([topic])
        message = consumer.poll(60)
        assert message is not None, f"nothing came from {topic}"
        assert message.error() is None
        event: dict[str, Any] = json.loads(message.value() or b"")
        return event
    finally:
        consumer.close()


@pytest.mark.service
def test_a_registered_model_is_asked_and_consumers_see_answer_and_feedback(
    tmp_path: Path,
) -> None:
    packages = tmp_path / "app"
    packages.mkdir()
    (packages / "model_server").symlink_to(ROOT / "apps/model_server")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with mlflow(tmp_path) as uri, kafka(tmp_path) as broker:
        run(TRAIN, uri, tmp_path)
        topics = [NewTopic(name, 1) for name in ("results", "feedback")]
        admin = AdminClient({"bootstrap.servers": broker})
        for done in admin.create_topics(topics).values():
            done.result(30)
        env = clean_environment(
            **{**ENVIRONMENT, "MLFLOW_TRACKING_URI": uri, "KAFKA_BROKER_ENDPOINT": broker},
            HOME=str(tmp_path),
        )
        start: list[str | Path] = [programs(MODEL_SERVER) / "uvicorn", "--factory"]
        start += ["model_server.server:production", "--host", "127.0.0.1", "--port", str(port)]

        def healthy() -> bool:
            try:
                return httpx.get(f"{url}/health").status_code == 200
            except httpx.TransportError:
                return False

        with server(start, healthy, tmp_path / "model-server.log", env=env, cwd=packages):
            for version in (None, "1", "champion"):
                asked = {"model": "double", "version": version, "inputs": [{"x": 21.0}]}
                answer = httpx.post(f"{url}/predict", json=asked, timeout=120).json()
                assert answer["outputs"] == [pytest.approx(42)]
                assert answer["version"] == "1"
            for question, status in (
                ({"model": "double", "inputs": [{"z": 1}]}, 422),
                ({"model": "double", "version": "9", "inputs": [{"x": 1}]}, 404),
                ({"model": "nothing", "inputs": [{"x": 1}]}, 404),
            ):
                refused = httpx.post(f"{url}/predict", json=question, timeout=120)
                assert refused.status_code == status, refused.text
            opinion = {"id": answer["id"], "feedback": "right"}
            assert httpx.post(f"{url}/feedback", json=opinion).status_code == 202
            assert read(broker, "results", "results-readers")["prediction"] == pytest.approx(42)
            assert read(broker, "feedback", "feedback-readers")["feedback"] == "right"


@pytest.mark.service
def test_a_wrong_environment_ends_it_with_the_names_of_the_variables(tmp_path: Path) -> None:
    packages = tmp_path / "app"
    packages.mkdir()
    (packages / "model_server").symlink_to(ROOT / "apps/model_server")
    done = subprocess.run(
        [programs(MODEL_SERVER) / "uvicorn", "--factory", "model_server.server:production"],
        env=clean_environment(**{**ENVIRONMENT, "KAFKA_BROKER_ENDPOINT": "nowhere"}),
        cwd=packages,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "KAFKA_BROKER_ENDPOINT: " in done.stderr
    assert "Traceback" not in done.stderr
