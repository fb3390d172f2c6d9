"""Loaded models need nobody: MLflow that refuses, hangs and comes back; memory; batches."""

import asyncio
import errno
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.model_server import batching, registry, shelf
from apps.model_server.registry import Facts
from tests.apps.model_server.fakes import World, finish, question, until


def ask(client: httpx.AsyncClient, *args: str, **more: Any) -> "asyncio.Task[httpx.Response]":
    return asyncio.create_task(client.post("/inference", json=question(*args, **more)))


async def state(client: httpx.AsyncClient, version: str) -> dict[str, object]:
    models = (await client.get("/health")).json()["models"]
    return next((one for one in models if one["version"] == version), {})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_loaded_model_asks_nobody(world: World) -> None:
    async def run() -> None:
        async with world.client() as client:
            assert (await ask(client)).status_code == 200
            await until(lambda: len(world.registry.asked) >= 3)
            world.registry.asked.clear()
            world.registry.away = 0
            for version in ("champion", "2"):
                answers = await asyncio.gather(*(ask(client, version) for _ in range(20)))
                assert {one.status_code for one in answers} == {200}
            assert world.registry.asked == []

    finish(run())


@pytest.mark.parametrize("away", [0.0, 1.0])
def test_while_mlflow_refuses_or_hangs_health_answers_and_the_rest_is_503_at_once(
    world: World, away: float
) -> None:
    """With its client's own limits 50 requests kept every thread for 253 s, and got 500."""

    async def run() -> None:
        async with world.client() as client:
            assert (await ask(client)).status_code == 200
            world.registry.away = away
            world.registry.asked.clear()
            waiting = [ask(client, name=f"new-{number}") for number in range(50)]
            await asyncio.sleep(0.05)
            for call in (client.get("/health"), client.post("/inference", json=question())):
                began = time.monotonic()
                assert (await call).status_code == 200
                assert time.monotonic() - began < 0.1
            began = time.monotonic()
            for answer in await asyncio.gather(*waiting):
                assert answer.status_code == 503
                assert answer.json() == {"error": "MLflow does not answer: connection refused"}
                assert answer.headers["Retry-After"] == "5"
            # One question for each thread, and none again.
            assert time.monotonic() - began < away + 0.5
            assert len(world.registry.asked) <= 2
            began = time.monotonic()
            assert (await ask(client, name="another")).status_code == 503
            assert time.monotonic() - began < 0.1
            health = (await client.get("/health")).json()
            assert health["status"] == "ok"
            assert health["mlflow"] == {"status": "away", "error": "connection refused"}

    finish(run())


def test_an_alias_that_moves_is_followed_when_its_version_is_loaded(tmp_path: Path) -> None:
    world = World(tmp_path, refresh=0.05)

    async def run() -> None:
        async with world.client() as client:
            assert (await ask(client)).json()["prediction"] == 20
            world.opener.missing = "xgboost"
            world.registry.models["double"] = Facts("3", {"champion": "3"})

            async def failed() -> bool:
                assert (await ask(client)).json()["prediction"] == 20
                return (await state(client, "3")).get("status") == "failed"

            while not await failed():
                await asyncio.sleep(0.02)
            world.opener.missing = ""
            world.registry.models["double"] = Facts("4", {"champion": "4"})
            seen = set()
            while 40 not in seen:
                seen.add((await ask(client)).json()["prediction"])
                await asyncio.sleep(0.01)
            assert seen == {20, 40}

    finish(asyncio.wait_for(run(), 10))


def test_it_starts_without_mlflow_from_what_it_has_on_its_volume(tmp_path: Path) -> None:
    async def run(world: World, status: int) -> None:
        async with world.client() as client:
            answer = await ask(client)
            assert answer.status_code == status
            assert status != 200 or answer.json()["model"]["version"] == "2"

    finish(run(World(tmp_path), 200))
    again = World(tmp_path)
    again.registry.away = 0
    finish(run(again, 200))
    assert ("download", "double", "2") not in again.registry.asked
    empty = World(tmp_path / "empty")
    empty.registry.away = 0
    finish(run(empty, 503))


def test_what_the_settings_name_is_loaded_at_the_start_as_soon_as_mlflow_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "PAUSE_S", 0.1)
    world = World(tmp_path, refresh=0.05, MODELS='["double", "other@champion"]')
    world.registry.away = 0

    async def run() -> None:
        async with world.client() as client:
            await until(lambda: len(world.registry.asked) > 0)
            assert (await client.get("/health")).json()["models"] == []
            world.registry.away = None
            await until(lambda: len(world.opener.opened) == 2)
            assert (await ask(client, "latest")).json()["model"]["version"] == "3"
            assert (await ask(client, "1")).json()["model"]["version"] == "1"
            other = await ask(client, "4", name="other")
            assert (other.status_code, "not served" in other.json()["error"]) == (404, True)

    finish(run())


def test_any_model_is_served_where_the_settings_open_it(tmp_path: Path) -> None:
    world = World(tmp_path, ANY_MODEL="true")

    async def run() -> None:
        async with world.client() as client:
            assert (await ask(client, "4", name="other")).json()["prediction"] == 40
            assert (await ask(client, "mine")).json()["prediction"] == 10
            assert (await ask(client, "9")).status_code == 404

    finish(run())


def test_a_missing_package_is_named(world: World) -> None:
    world.opener.missing = "xgboost"

    async def run() -> None:
        async with world.client() as client:
            for _ in range(2):
                answer = await ask(client)
                assert answer.status_code == 503
                assert "needs the package xgboost" in answer.json()["error"]
            assert "xgboost" in str((await state(client, "2"))["error"])

    finish(run())


def test_a_model_is_loaded_once_and_a_request_does_not_wait_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "LOAD_WAIT_S", 0.1)
    world.opener.seconds = 0.3

    async def run() -> None:
        async with world.client() as client:
            answers = await asyncio.gather(*(ask(client) for _ in range(10)))
            assert {one.status_code for one in answers} == {503}
            assert "is being loaded" in answers[0].json()["error"]
            assert answers[0].headers["Retry-After"] == "5"
            assert (await state(client, "2"))["status"] == "loading"
            await until(lambda: bool(world.opener.opened))
            assert (await ask(client)).status_code == 200
        assert len(world.opener.opened) == 1

    finish(run())


def test_memory_is_bounded_and_preloaded_models_stay(tmp_path: Path) -> None:
    world = World(tmp_path, ANY_MODEL="true", MODELS='["double/1"]', MODELS_MEMORY_MIB="24")
    world.registry.kib = 9 * 1024

    async def run() -> None:
        async with world.client() as client:
            for version in ("1", "2", "3", "1"):
                assert (await ask(client, version)).status_code == 200, version
            models = (await client.get("/health")).json()["models"]
            assert {one["version"] for one in models} == {"1", "3"}
            world.registry.kib = 30 * 1024
            large = await ask(client, "4", name="other")
            assert large.status_code == 503
            assert "30 MiB, and models may have 24 " in large.json()["error"]
            # What does not fit anyway takes nobody's place.
            models = (await client.get("/health")).json()["models"]
            assert {one["version"] for one in models if one["status"] == "ready"} == {"1", "3"}

    finish(run())


def test_requests_that_meet_are_computed_together_and_faults_are_their_own(world: World) -> None:
    async def run() -> None:
        async with world.client() as client:
            await ask(client)
            (model,) = world.opener.opened
            model.calls.clear()
            model.go.clear()
            asked = [ask(client, x=number) for number in range(8)]
            others = [ask(client, x=float(number)) for number in range(4)]
            await until(lambda: len(model.calls) == 1)
            wrong = [ask(client, x=x) for x in (1, -1, 2)]
            await asyncio.sleep(0.05)
            model.go.set()
            answers = await asyncio.gather(*asked, *others)
            assert [one.json()["prediction"] for one in answers[:8]] == [2 * n for n in range(8)]
            assert [one.json()["prediction"] for one in answers[8:]] == [0.0, 2.0, 4.0, 6.0]
            given = await asyncio.gather(*wrong)
            assert [one.status_code for one in given] == [200, 422, 200]
            # Those whose columns have one type, together; after a fault each by itself.
            assert [len(call) for call in model.calls] == [8, 4, 3, 1, 1, 1]

    finish(run())


def test_a_full_queue_is_429_and_health_still_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MOST_WAITING", 5)

    async def run() -> None:
        async with world.client() as client:
            await ask(client)
            (model,) = world.opener.opened
            model.go.clear()
            asked = [ask(client) for _ in range(8)]
            await asyncio.sleep(0.1)
            began = time.monotonic()
            assert (await client.get("/health")).status_code == 200
            assert time.monotonic() - began < 0.1
            model.go.set()
            answers = await asyncio.gather(*asked)
            assert sorted(one.status_code for one in answers) == [200] * 5 + [429] * 3
            busy = next(one for one in answers if one.status_code == 429)
            assert busy.headers["Retry-After"] == "1"
            assert (await ask(client)).status_code == 200

    finish(run())


def test_a_full_volume_is_told_and_is_not_mlflows_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_name: str, _version: str, _folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(world.registry, "download", full)

    async def run() -> None:
        async with world.client() as client:
            answer = await ask(client)
            assert answer.status_code == 503
            assert "No space left on device" in answer.json()["error"]
            assert (await client.get("/health")).json()["mlflow"] == {"status": "ok"}

    finish(run())


def test_a_client_that_leaves_ends_nothing_for_others(world: World) -> None:
    world.opener.seconds = 0.2

    async def run() -> None:
        async with world.client() as client:
            leaves, stays = ask(client), ask(client)
            await asyncio.sleep(0.05)
            leaves.cancel()
            assert (await stays).json()["prediction"] == 20

    finish(run())
