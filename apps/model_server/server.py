"""The HTTP interface."""

import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from .events import Events, EventsFullError, KafkaEvents
from .lake import Lake, LakeWriter, NotInLakeError
from .models import MlflowModels, ModelInputError, ModelNotFoundError, Models, Record
from .settings import Settings, SettingsError, load

# MLflow forbids slashes and colons in names of models; a quote would end the name in its filters.
ModelName = Annotated[str, Field(pattern=r"^[^/:'\"\\%]{1,250}$")]


class Question(BaseModel):
    """Inputs for a model: records of its columns."""

    model: ModelName
    version: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,250}$",
        description="A version's number or alias; the newest version if it is missing",
    )
    inputs: list[Record] = Field(min_length=1, max_length=10_000)


class Answer(BaseModel):
    """One output for each input; id is what feedback refers to."""

    id: uuid.UUID
    model: str
    version: str
    outputs: list[Any]


class Feedback(BaseModel):
    """What a person or program thinks of an answer."""

    id: uuid.UUID
    feedback: Any


class Stream(BaseModel):
    """A topic, and the consumer group that reads it for the lakehouse."""

    topic: str
    group: str


def create(settings: Settings, models: Models, events: Events, lake: Lake) -> FastAPI:
    """The application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        events.close()

    app = FastAPI(title="datalab model server", lifespan=lifespan)

    def log(topic: str, key: uuid.UUID, event: dict[str, Any]) -> None:
        # What the lake writer reads (apps/lake_writer/sql); times are in microseconds.
        now = time.time_ns() // 1000
        stamped = {"inference_uuid": str(key), **event, "created_at": now}
        try:
            events.send(topic, str(key), stamped)
        except EventsFullError as error:
            raise HTTPException(503, str(error)) from error

    @app.get("/health")
    def health() -> dict[str, str]:
        # Of this process alone: it still serves loaded models while MLflow or Kafka restart.
        return {"status": "ok"}

    @app.get("/streams")
    def streams() -> dict[str, Stream]:
        return {
            "results": Stream(
                topic=settings.inference_results_topic, group=settings.inference_results_group
            ),
            "feedback": Stream(
                topic=settings.inference_feedback_topic, group=settings.inference_feedback_group
            ),
        }

    # Not async: models compute, so each request gets a thread.
    @app.post("/predict")
    def predict(question: Question) -> Answer:
        try:
            version = models.resolve(question.model, question.version)
            outputs = models.predict(question.model, version, question.inputs)
        except ModelNotFoundError as error:
            raise HTTPException(404, str(error)) from error
        except ModelInputError as error:
            raise HTTPException(422, str(error)) from error
        answer = Answer(id=uuid.uuid4(), model=question.model, version=version, outputs=outputs)
        event = {
            "model": {"name": question.model, "version": version},
            "data": question.inputs,
            # One number is what the lake can count with.
            "prediction": outputs[0] if len(outputs) == 1 else outputs,
        }
        log(settings.inference_results_topic, answer.id, event)
        return answer

    @app.post("/feedback", status_code=202)
    def feedback(given: Feedback) -> dict[str, str]:
        log(settings.inference_feedback_topic, given.id, {"feedback": given.feedback})
        return {"id": str(given.id)}

    # Not async: it waits for the lake.
    @app.get("/inference/logs/flush", status_code=204)
    def flush() -> None:
        """Put into the lake what was logged so far: 204 once it is there, 504 with the lag."""
        try:
            events.flush()
            lake.flush()
        except EventsFullError as error:
            raise HTTPException(504, {"error": str(error)}) from error
        except NotInLakeError as error:
            raise HTTPException(504, error.args[0]) from error

    return app


def production() -> FastAPI:
    """The application as uvicorn starts it; ends the process when its environment is wrong."""
    try:
        settings = load(os.environ)
    except SettingsError as error:
        sys.exit(f"model server: the environment has faults:\n{error}")
    return create(
        settings,
        MlflowModels(str(settings.mlflow_tracking_uri), settings.models_in_memory),
        KafkaEvents(settings.kafka_broker_endpoint),
        LakeWriter(str(settings.lake_writer_url)),
    )
