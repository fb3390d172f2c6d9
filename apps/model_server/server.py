"""The HTTP interface."""

import asyncio
import logging
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from . import VERSION
from .bodies import BodyLimit
from .choice import choose
from .events import Events, KafkaEvents
from .interface import Answer, Chosen, Feedback, Health, Question, Refusal, Stream
from .lake import Lake, LakeWriter, NotInLakeError
from .models import Models
from .predictor import MlflowOpener
from .refusals import RefusedError
from .registry import MlflowRegistry
from .settings import Settings, SettingsError, load

# As the original lab's server calls itself.
NAME = "datalab-mlserver"
CHECK_S = 15.0
REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"model": Refusal, "description": "There is no such model, or it is not served"},
    413: {"model": Refusal, "description": "More than the server or Kafka takes"},
    422: {"model": Refusal, "description": "Not what the model takes; the column is named"},
    429: {"model": Refusal, "description": "Too much waits; ask again after Retry-After seconds"},
    503: {"model": Refusal, "description": "The model is not loaded, or Kafka takes no events"},
}


def create(settings: Settings, models: Models, events: Events, lake: Lake) -> FastAPI:
    """The application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(models.run()), asyncio.create_task(_check(events))]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        models.close()
        await asyncio.to_thread(events.close)

    # With its page of the API served from here: a lab may have no way to a CDN.
    app = FastAPIOffline(
        title="datalab model server", version=VERSION, lifespan=lifespan, redoc_url=None
    )
    app.add_middleware(BodyLimit)
    _refusals(app)

    @app.get("/health")
    async def health() -> Health:
        # Always 200: it serves loaded models while MLflow or Kafka are away.
        return Health(
            name=NAME,
            version=VERSION,
            status="ok",
            mlflow=_state(models.mlflow.problem),
            kafka=_state(events.problem),
            models=models.states(),
        )

    @app.get("/streams")
    async def streams() -> dict[str, Stream]:
        return {
            "results": Stream(
                topic=settings.inference_results_topic, group=settings.inference_results_group
            ),
            "feedback": Stream(
                topic=settings.inference_feedback_topic, group=settings.inference_feedback_group
            ),
        }

    @app.post("/inference", responses=REFUSALS)
    async def infer(question: Question) -> Answer:
        """A prediction by the model, or by one of the models."""
        asked = choose(question.models, question.key)
        began = time.monotonic()
        version, outputs = await models.predict(asked.name, asked.version, question.rows)
        answer = Answer(
            inference_uuid=uuid.uuid4(),
            model=Chosen(name=asked.name, version=version),
            data=question.given,
            # One number is what the lake can count with.
            prediction=outputs[0] if len(outputs) == 1 else outputs,
            created_at=time.time_ns() // 1000,
        )
        if question.log_to_lakehouse:
            # What the lake writer reads (apps/lake_writer/sql); what it does not know it keeps.
            event = {
                **vars(answer),
                "inference_uuid": str(answer.inference_uuid),
                "model": vars(answer.model),
                "asked": asked.version,
                "duration_us": round((time.monotonic() - began) * 1e6),
            }
            await events.send(settings.inference_results_topic, str(answer.inference_uuid), event)
        return answer

    @app.patch("/inference", status_code=204, responses=REFUSALS)
    async def feedback(given: Feedback) -> None:
        """What came of a prediction; several for one are all kept."""
        key = str(given.inference_uuid)
        event = {
            "inference_uuid": key,
            "feedback": given.feedback,
            "created_at": time.time_ns() // 1000,
        }
        await events.send(settings.inference_feedback_topic, key, event)

    # Not async: it waits for the lake.
    @app.get("/inference/logs/flush", status_code=204, responses={504: {"model": Refusal}})
    def flush() -> None:
        """Put into the lake what was logged so far: 204 once it is there, 504 with the lag."""
        try:
            events.flush()
        except RefusedError as error:
            raise NotInLakeError({"error": str(error)}) from error
        lake.flush()

    return app


def _refusals(app: FastAPI) -> None:
    """Whatever is refused is told as the original lab does: `{"error": text}`."""

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> JSONResponse:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return JSONResponse({"error": str(error)}, error.status, headers)

    @app.exception_handler(NotInLakeError)
    async def not_in_lake(_: Request, error: NotInLakeError) -> JSONResponse:
        return JSONResponse(error.args[0], 504)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'][1:])}: {fault['msg']}".lstrip(": ")
            for fault in error.errors()[:10]
        ]
        return JSONResponse({"error": "; ".join(faults)}, 422)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"the server has a fault: {type(error).__name__}"}, 500)


def _state(problem: str) -> dict[str, str]:
    return {"status": "away", "error": problem} if problem else {"status": "ok"}


async def _check(events: Events) -> None:
    while True:
        await asyncio.to_thread(events.check)
        await asyncio.sleep(CHECK_S)


def production() -> FastAPI:
    """The application as uvicorn starts it; ends the process when its environment is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = load(os.environ)
    except SettingsError as error:
        sys.exit(f"model server: the environment has faults:\n{error}")
    try:
        models = Models(settings, MlflowRegistry(str(settings.mlflow_tracking_uri)), MlflowOpener())
    except OSError as error:
        sys.exit(f"model server: MODELS_FOLDER: {error}")
    return create(
        settings,
        models,
        KafkaEvents(settings.kafka_broker_endpoint),
        LakeWriter(str(settings.lake_writer_url)),
    )
