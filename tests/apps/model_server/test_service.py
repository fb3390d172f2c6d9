"""The model server as its container starts it, on real MLflow and Kafka."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic

from layers.apps.model_server import CREDENTIALS
from settings.services.mlflow import ADMIN, READER
from tests.apps.model_server.fakes import ENVIRONMENT
from tests.harness.kafka import kafka
from tests.harness.mlflow import (
    ADMINS_PASSWORD,
    MODEL_SERVER,
    READERS_PASSWORD,
    ROOT,
    login,
    mlflow,
    programs,
)
from tests.harness.process import clean_environment, free_port, server

pytestmark = pytest.mark.service

TRAIN = """
import mlflow, pandas
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from mlflow.models import infer_signature

def log(name, model, data):
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model, name="model", registered_model_name=name, pip_requirements=[],
            signature=infer_signature(data, model.predict(data)),
        )
    mlflow.MlflowClient().set_registered_model_alias(name, "champion", 1)

data = pandas.DataFrame({"x": [1.0, 2.0, 3.0]})
for times in (2, 3):
    log("double", LinearRegression().fit(data, times * data["x"]), data)
texts = pandas.Series(["good fine", "fine good day", "bad poor", "poor bad day"], name="text")
log("texts", make_pipeline(TfidfVectorizer(), LogisticRegression(C=1e6)).fit(texts, [1, 1, 0, 0]),
    texts)
"""


def train(uri: str, folder: Path) -> None:
    own = login(ADMIN, ADMINS_PASSWORD)
    env = clean_environment(MLFLOW_TRACKING_URI=uri, HOME=str(folder), **own)
    command = [str(programs(MODEL_SERVER) / "python"), "-c", TRAIN]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def package(folder: Path) -> Path:
    """A folder with the server's package under the name that it has in its image."""
    packages = folder / "app"
    if not packages.exists():
        packages.mkdir()
        (packages / "model_server").symlink_to(ROOT / "apps/model_server")
    return packages


@contextmanager
def model_server(folder: Path, **variables: str) -> Iterator[tuple[httpx.Client, int]]:
    """A server on its own port: a client of it, and its process."""
    port = free_port()
    credentials = folder / ".mlflow/credentials"
    credentials.parent.mkdir(exist_ok=True)
    credentials.write_text(CREDENTIALS.format(READER, READERS_PASSWORD))
    own = {"MODELS_FOLDER": str(folder / "cache"), "HOME": str(folder)}
    env = clean_environment(**{**ENVIRONMENT, **own, **variables})
    start: list[str | Path] = [programs(MODEL_SERVER) / "uvicorn", "--factory"]
    start += ["model_server.server:production", "--host", "127.0.0.1", "--port", str(port)]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        def healthy() -> bool:
            try:
                return client.get("/health").status_code == 200
            except httpx.TransportError:
                return False

        log = folder / "model-server.log"
        with server(start, healthy, log, env=env, cwd=package(folder)) as process:
            yield client, process.pid


def events(broker: str, topic: str, group: str, number: int) -> list[dict[str, Any]]:
    """The first events that a consumer of the group gets."""
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": group, "auto.offset.reset": "earliest"}
    )
    try:
        consumer.subscribe([topic])
        found: list[dict[str, Any]] = []
        while len(found) < number:
            message = consumer.poll(60)
            assert message is not None, f"{len(found)} of {number} came from {topic}"
            assert message.error() is None
            event = json.loads(message.value() or b"")
            assert (message.key() or b"").decode() == event["inference_uuid"]
            found.append(event)
        return found
    finally:
        consumer.close()


def ask(client: httpx.Client, models: Any, **data: Any) -> httpx.Response:
    return client.post("/inference", json={"models": models, **data})


def test_models_answer_and_go_on_when_mlflow_is_away(tmp_path: Path) -> None:
    double = [{"name": "double", "version": version} for version in ("champion", 1)]
    with ExitStack() as lab, kafka(tmp_path) as broker:
        uri = lab.enter_context(mlflow(tmp_path))
        train(uri, tmp_path)
        topics = [NewTopic(name, 1) for name in ("results", "feedback")]
        admin = AdminClient({"bootstrap.servers": broker})
        for done in admin.create_topics(topics).values():
            done.result(30)
        given = {"MLFLOW_TRACKING_URI": uri, "KAFKA_BROKER_ENDPOINT": broker}
        with model_server(tmp_path, **given) as (client, _):
            answers = [ask(client, one, records=[{"x": 21.0}]).json() for one in double]
            assert [one["prediction"] for one in answers] == [pytest.approx(42)] * 2
            assert {one["model"]["version"] for one in answers} == {"1"}
            text = ask(client, [{"name": "texts", "version": "champion"}], data="good fine")
            assert text.json()["prediction"] > 0.99, text.text
            for model, data, status in (
                (double[0], {"records": [{"z": 1}]}, 422),
                ({"name": "double", "version": 2}, {"data": 1}, 404),
                ({"name": "nothing"}, {"data": 1}, 404),
            ):
                assert ask(client, model, **data).status_code == status
            opinion = {"inference_uuid": answers[0]["inference_uuid"], "feedback": 1}
            assert client.patch("/inference", json=opinion).status_code == 204
            logged = events(broker, "results", "results-readers", 3)
            assert [one["inference_uuid"] for one in logged] == [
                one["inference_uuid"] for one in (*answers, text.json())
            ]
            (feedback,) = events(broker, "feedback", "feedback-readers", 1)
            assert (feedback["inference_uuid"], feedback["feedback"]) == tuple(opinion.values())
            lab.close()  # MLflow ends
            for one in double:
                assert ask(client, one, records=[{"x": 21.0}]).status_code == 200
            many_wait_and_health_answers(client)
        with model_server(tmp_path, **given) as (client, process):
            again = ask(client, double[0], records=[{"x": 21.0}])
            assert again.json()["prediction"] == pytest.approx(42), again.text
            # Of processor time, as the machine may be busy with other tests.
            assert processor_seconds(process) < 10
            assert client.get("/health").json()["mlflow"]["status"] == "away"


def processor_seconds(process: int) -> float:
    """What a process used so far, as proc(5) has it."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def many_wait_and_health_answers(client: httpx.Client) -> None:
    """MLflow refuses: 50 requests for other models took 253 s, and /health waited with them."""
    begin = threading.Barrier(51)

    def refused(number: int) -> tuple[int, float]:
        with httpx.Client(base_url=client.base_url, timeout=60) as own:
            own.get("/health")
            begin.wait()
            began = time.monotonic()
            answer = ask(own, {"name": f"new-{number}"}, data=1)
            return answer.status_code, time.monotonic() - began

    with ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(refused, number) for number in range(50)]
        begin.wait()
        began = time.monotonic()
        assert client.get("/health").status_code == 200
        health = time.monotonic() - began
        found = [one.result() for one in waiting]
    assert {status for status, _ in found} == {503}
    # The clients share two cores with the server; alone it is a few milliseconds.
    assert max(seconds for _, seconds in found) < 2
    assert health < 0.5


def test_a_wrong_environment_ends_it_with_the_names_of_the_variables(tmp_path: Path) -> None:
    done = subprocess.run(
        [programs(MODEL_SERVER) / "uvicorn", "--factory", "model_server.server:production"],
        env=clean_environment(**{**ENVIRONMENT, "KAFKA_BROKER_ENDPOINT": "nowhere"}),
        cwd=package(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "KAFKA_BROKER_ENDPOINT: " in done.stderr
    assert "Traceback" not in done.stderr
