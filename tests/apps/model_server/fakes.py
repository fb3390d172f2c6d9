"""Stand-ins for MLflow, Kafka, the lake and models, and the server on them."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from apps.model_server.events import EventsFullError
from apps.model_server.lake import NotInLakeError
from apps.model_server.models import Models
from apps.model_server.predictor import MissingPackageError, Record
from apps.model_server.refusals import InputError, ModelNotFoundError
from apps.model_server.registry import Facts, RegistryAwayError
from apps.model_server.server import create
from apps.model_server.settings import load

ENVIRONMENT = {
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    "KAFKA_BROKER_ENDPOINT": "kafka:29092",
    "INFERENCE_RESULTS_TOPIC": "results",
    "INFERENCE_RESULTS_GROUP": "results-readers",
    "INFERENCE_FEEDBACK_TOPIC": "feedback",
    "INFERENCE_FEEDBACK_GROUP": "feedback-readers",
    "LAKE_WRITER_URL": "http://lake-writer:8001",
}


@dataclass
class Registry:
    """MLflow with models of some names; `away` is how many seconds it takes to fail."""

    models: dict[str, Facts] = field(default_factory=dict)
    away: float | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)
    kib: int = 1

    def _answers(self, *what: str) -> None:
        self.asked.append(what)
        if self.away is not None:
            time.sleep(self.away)
            raise RegistryAwayError("connection refused")

    def check(self) -> None:
        self._answers("check")

    def facts(self, name: str) -> Facts:
        self._answers("facts", name)
        if name not in self.models:
            raise ModelNotFoundError(f"MLflow has no model {name}")
        return self.models[name]

    def download(self, name: str, version: str, folder: Path) -> None:
        self._answers("download", name, version)
        if name not in self.models or int(version) > int(self.models[name].newest):
            raise ModelNotFoundError(f"MLflow has no model {name} version {version}")
        (folder / "weights").write_bytes(b"0" * 1024 * self.kib)
        (folder / "version").write_text(version)


class Multiply:
    """Multiplies x with its version; `calls` are the rows of each call."""

    row_by_row = True

    def __init__(self, folder: Path):
        self.version = int((folder / "version").read_text())
        self.calls: list[list[Record]] = []
        self.go = threading.Event()
        self.go.set()

    def predict(self, rows: Sequence[Record]) -> list[Any]:
        self.calls.append(list(rows))
        self.go.wait(10)
        outputs = []
        for row in rows:
            x = row.get("x", row.get("input"))
            if not isinstance(x, int | float):
                raise InputError("column x is missing")
            if x < 0:
                raise InputError("column x is negative")
            outputs.append(x * self.version)
        return outputs


class Opener:
    """Opens models, and keeps them for the test to look at; `missing` is a package."""

    def __init__(self) -> None:
        self.opened: list[Multiply] = []
        self.missing = ""
        self.seconds = 0.0

    def prepare(self) -> None:
        pass

    def open(self, folder: Path) -> Multiply:
        time.sleep(self.seconds)
        if self.missing:
            raise MissingPackageError(self.missing)
        self.opened.append(Multiply(folder))
        return self.opened[-1]


class Recorded:
    """Events of the test; `full` refuses more."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.full = self.closed = self.flushed = False
        self.problem = ""

    async def send(self, topic: str, key: str, event: dict[str, Any]) -> None:
        if self.full:
            raise EventsFullError("Kafka does not answer")
        self.sent.append((topic, key, event))

    def check(self) -> None:
        pass

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


class World:
    """A server and all that is around it."""

    def __init__(self, folder: Path, refresh: float = 60, **variables: str):
        self.folder = folder
        self.refresh = refresh
        self.variables = {"MODELS_FOLDER": str(folder), **variables}
        champion = {"champion": "2", "mine": "1"}
        self.registry = Registry(
            {"double": Facts("3", champion), "other": Facts("5", {"champion": "5"})}
        )
        self.events, self.lake, self.opener = Recorded(), Lake(), Opener()

    def app(self) -> FastAPI:
        settings = load({**ENVIRONMENT, **self.variables})
        models = Models(settings, self.registry, self.opener, self.refresh)
        return create(settings, models, self.events, self.lake)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        app = self.app()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://model-server") as client,
        ):
            yield client


def question(version: str = "champion", x: Any = 10, name: str = "double", **more: Any) -> Any:
    return {"models": {"name": name, "version": version}, "records": [{"x": x}], **more}


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop of its own.

    asyncio.run would leave this thread without one, which outputs of Pulumi in later tests take.
    """
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(work)


async def until(met: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.01)
