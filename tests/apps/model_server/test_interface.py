"""What the model server takes and answers, with stand-ins for all around it."""

import asyncio
import json
import math
import re
import time
import tomllib
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from apps.model_server import VERSION
from apps.model_server.bodies import BodyLimit
from apps.model_server.choice import choose
from apps.model_server.interface import Feedback, Model, Question
from apps.model_server.policy import Wanted
from apps.model_server.settings import Settings, SettingsError, load
from settings.apps.model_server import ServedModel
from settings.images import PATH
from tests.apps.model_server.fakes import ENVIRONMENT, World, finish, question


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with TestClient(world.app(), raise_server_exceptions=False) as made:
        yield made


def test_settings_are_typed_and_every_fault_is_told_at_once() -> None:
    assert load(ENVIRONMENT).inference_feedback_group == "feedback-readers"
    wrong = {
        **ENVIRONMENT,
        "KAFKA_BROKER_ENDPOINT": "kafka",
        "INFERENCE_RESULTS_TOPIC": "a b",
        "MODELS": '["a/b/c"]',
    }
    del wrong["MLFLOW_TRACKING_URI"]
    with pytest.raises(SettingsError) as caught:
        load(wrong)
    names = {line.split(":")[0] for line in str(caught.value).splitlines()}
    assert names == {
        "MLFLOW_TRACKING_URI",
        "KAFKA_BROKER_ENDPOINT",
        "INFERENCE_RESULTS_TOPIC",
        "MODELS",
    }


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("house prices", ("house prices", None)),
        ("m/3", ("m", "3")),
        ("m/latest", ("m", "latest")),
        ("m@live", ("m", "live")),
        ("m/0", None),
        ("m/newest", None),
        ("m@", None),
        ("a/b/c", None),
        ("m:3", None),
        ("", None),
    ],
)
def test_the_lab_s_settings_and_the_server_read_models_alike(
    text: str, model: tuple[str, str | None] | None
) -> None:
    try:
        found = Wanted.parse(text)
    except ValueError:
        assert model is None
    else:
        assert (found.name, found.version) == model
    try:
        TypeAdapter(ServedModel).validate_python(text)
    except ValueError:
        assert model is None
    else:
        assert model is not None


def test_every_required_setting_is_one_that_the_layer_gives() -> None:
    optional = {name for name, field in Settings.model_fields.items() if not field.is_required()}
    assert {name.lower() for name in ENVIRONMENT} == set(Settings.model_fields) - optional


def test_the_version_is_the_project_s() -> None:
    project = tomllib.loads((PATH.parent / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_a_prediction_is_answered_and_logged_under_the_same_id(
    client: TestClient, world: World
) -> None:
    answer = client.post("/inference", json=question(x=21))
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert given["model"] == {"name": "double", "version": "2"}
    assert (given["data"], given["prediction"]) == ([{"x": 21}], 42)
    assert abs(given["created_at"] / 1e6 - time.time()) < 60
    ((topic, key, event),) = world.events.sent
    assert (topic, key) == ("results", given["inference_uuid"])
    assert event.pop("duration_us") > 0
    assert event == {**given, "asked": "champion"}


def test_what_is_not_to_be_logged_is_not(client: TestClient, world: World) -> None:
    answer = client.post("/inference", json=question(log_to_lakehouse=False))
    assert (answer.status_code, world.events.sent) == (200, [])


@pytest.mark.parametrize(
    ("data", "prediction"), [(4, 8), (1.5, 3.0), ([4], 8), ([1, 2.5, 3], [2, 5.0, 6])]
)
def test_data_without_names_is_a_column(client: TestClient, data: Any, prediction: Any) -> None:
    for models in ({"name": "double", "version": 2}, [{"name": "double", "version": "2"}]):
        answer = client.post("/inference", json={"models": models, "data": data})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["data"], answer.json()["prediction"]) == (data, prediction)


def test_feedback_is_a_number_or_any_json(client: TestClient, world: World) -> None:
    given = str(uuid.uuid4())
    for feedback in (0.5, 0, {"right": True}, "good"):
        body = {"inference_uuid": given, "feedback": feedback}
        answer = client.patch("/inference", json=body)
        assert (answer.status_code, answer.content) == (204, b"")
        topic, key, event = world.events.sent[-1]
        assert (topic, key, event["feedback"]) == ("feedback", given, feedback)
        assert abs(event["created_at"] / 1e6 - time.time()) < 60
    for wrong in ({"inference_uuid": given}, {"inference_uuid": given, "feedback": None}):
        assert client.patch("/inference", json=wrong).status_code == 422
    assert len(world.events.sent) == 4


def test_consumers_learn_topics_with_their_groups(client: TestClient) -> None:
    assert client.get("/streams").json() == {
        "results": {"topic": "results", "group": "results-readers"},
        "feedback": {"topic": "feedback", "group": "feedback-readers"},
    }


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (question(name="none"), 404, "MLflow has no model none"),
        (question("nobody"), 404, "model double has no version nobody"),
        (question("7"), 404, "model double has no version 7"),
        (question("mine"), 404, "apps.model_server.aliases"),
        (question("latest"), 404, "apps.model_server.models"),
        ({"models": {"name": "double", "version": "champion"}, "records": [{"y": 1}]}, 422, "x"),
        ({"models": {"name": "double"}, "records": []}, 422, "records"),
        ({"models": {"name": "double"}}, 422, "either data or records"),
        ({"models": {"name": "double"}, "data": 1, "records": [{"x": 1}]}, 422, "either"),
        ({"models": [], "data": 1}, 422, "models"),
        ({"models": {"name": "double", "weight": 0}, "data": 1}, 422, "all weights are 0"),
        ({"models": {"name": "double", "weight": -1}, "data": 1}, 422, "weight"),
        ({"models": {"name": "a/b"}, "data": 1}, 422, "name"),
        ({"models": {"name": "a' OR name = 'b"}, "data": 1}, 422, "name"),
        ({"data": 1}, 422, "models"),
        ({**question(), "colour": 1}, 422, "colour"),
    ],
)
def test_wrong_questions_are_refused_with_the_reason_and_not_logged(
    client: TestClient, world: World, asked: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post("/inference", json=asked)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert said in answer.json()["error"]
    assert world.events.sent == []


def test_too_large_a_body_is_413_with_and_without_its_length(client: TestClient) -> None:
    body = b"[" * (4 * 1024 * 1024 + 1)
    told = client.post("/inference", content=body)
    chunks = client.post("/inference", content=iter([body[:100], body[100:]]))
    for answer in (told, chunks):
        assert (answer.status_code, answer.json()) == (
            413,
            {"error": "the request has more than 4 MiB"},
        )


def test_bodies_that_are_held_are_bounded_and_given_back() -> None:
    go = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        await go.wait()
        await PlainTextResponse("done")(scope, receive, send)

    async def run() -> None:
        transport = httpx.ASGITransport(BodyLimit(slow, one=10, all_=15))
        async with httpx.AsyncClient(transport=transport, base_url="http://it") as client:
            first = asyncio.create_task(client.post("/", content=b"x" * 10))
            await asyncio.sleep(0.05)
            refused = await client.post("/", content=b"x" * 6)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
            second = asyncio.create_task(client.post("/", content=b"x" * 5))
            go.set()
            assert [(await one).status_code for one in (first, second)] == [200, 200]
            assert (await client.post("/", content=b"x" * 10)).status_code == 200

    finish(run())


def test_an_answer_that_cannot_be_logged_is_none(client: TestClient, world: World) -> None:
    world.events.full = True
    answer = client.post("/inference", json=question())
    assert (answer.status_code, answer.json()) == (503, {"error": "Kafka does not answer"})
    assert answer.headers["Retry-After"] == "5"


def test_a_flush_is_done_when_the_lake_has_everything(client: TestClient, world: World) -> None:
    answer = client.get("/inference/logs/flush")
    assert (answer.status_code, answer.content, world.events.flushed) == (204, b"", True)
    world.lake.lag = 3
    late = client.get("/inference/logs/flush")
    assert (late.status_code, late.json()["lag"]) == (504, {"results": 3})
    world.events.full = True
    full = client.get("/inference/logs/flush")
    assert (full.status_code, full.json()) == (504, {"error": "Kafka does not answer"})


def test_events_are_delivered_before_it_ends(world: World) -> None:
    with TestClient(world.app()) as made:
        assert made.get("/health").status_code == 200
        assert not world.events.closed
    assert world.events.closed


def test_every_answer_is_in_the_openapi_page(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths["/inference"]) == {"post", "patch"}
    assert set(paths["/inference"]["post"]["responses"]) == {
        "200",
        "404",
        "413",
        "422",
        "429",
        "503",
    }
    assert set(paths["/inference/logs/flush"]["get"]["responses"]) == {"204", "504"}


def test_the_page_of_the_api_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    needed = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert len(needed) == 3, page.text
    for path in needed:
        assert path.startswith("/"), path
        assert client.get(path).status_code == 200
    assert client.get("/redoc").status_code == 404


def test_a_prediction_that_is_no_number_is_null_in_the_answer(
    client: TestClient, world: World
) -> None:
    answer = client.post(
        "/inference",
        content=json.dumps(question(x=math.nan)),
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["prediction"]) == (200, None)
    ((_, _, event),) = world.events.sent
    assert math.isnan(event["prediction"])  # the lake has a word for it


def test_the_page_s_examples_are_taken() -> None:
    page = (PATH.parent / "docs/models.md").read_text()
    *questions, feedback = re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert [len(Question.model_validate_json(one).rows) for one in questions] == [1, 1, 2]
    assert Feedback.model_validate_json(feedback).feedback == 1


def shares(models: list[Model], keys: list[str | None]) -> Counter[str]:
    return Counter(choose(models, key).version for key in keys)


def test_models_are_chosen_by_weight_at_random_and_by_key() -> None:
    models = [Model(name="m", version="1", weight=3), Model(name="m", version="2", weight=1)]
    models.append(Model(name="m", version="3", weight=0))
    keys: list[list[str | None]] = [[None] * 4000, [f"user-{n}" for n in range(4000)]]
    for some in keys:
        found = shares(models, some)
        # Five standard deviations of a share of 3/4 in 4,000.
        assert abs(found["1"] - 3000) < 138
        assert found["3"] == 0


def test_a_key_stays_with_its_model_and_few_move_with_another_weight() -> None:
    a, b = Model(name="m", version="a"), Model(name="m", version="b")
    more = Model(name="m", version="b", weight=1.5)
    keys = [f"user-{n}" for n in range(2000)]
    before = {key: choose([a, b], key).version for key in keys}
    assert before == {key: choose([b, a], key).version for key in keys}
    after = {key: choose([a, more], key).version for key in keys}
    moved = {key for key in keys if before[key] != after[key]}
    assert {after[key] for key in moved} == {"b"}
    # From 1/2 to 3/5: a tenth of all.
    assert 120 < len(moved) < 280
