"""MLflow's registry, which is asked in threads of its own and never for long."""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .refusals import BusyError, ModelNotFoundError, NotReadyError

T = TypeVar("T")

# MLflow's client asks up to eight times and waits up to 120 s each time (environment_variables.py):
# a request for a model then took 253 s to fail.
LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
# So long nobody asks again after it did not answer.
PAUSE_S = 5.0
MOST_WAITING = 64


@dataclass(frozen=True)
class Facts:
    """What MLflow says of a model: its newest version, and what its aliases point to."""

    newest: str
    aliases: Mapping[str, str]


class RegistryAwayError(Exception):
    """MLflow does not answer, or not as it should."""


class Registry(Protocol):
    """Where models come from; ModelNotFoundError and RegistryAwayError are what it may raise."""

    def check(self) -> None:
        """Whether it answers."""
        ...

    def facts(self, name: str) -> Facts:
        """What it knows of a model."""
        ...

    def download(self, name: str, version: str, folder: Path) -> None:
        """A version's files, into a folder."""
        ...


class Mlflow:
    """The registry for the event loop: a bounded pool, and a pause after it did not answer."""

    def __init__(self, registry: Registry):
        self._registry = registry
        self._until = 0.0
        # Downloads take long; they do not keep the short questions waiting.
        self._short = ThreadPoolExecutor(2, "mlflow")
        self._long = ThreadPoolExecutor(2, "download")
        self._waiting = 0
        self.problem = ""

    @property
    def away(self) -> bool:
        """Whether it did not answer a moment ago."""
        return time.monotonic() < self._until

    async def check(self) -> None:
        """See Registry; NotReadyError at once while MLflow is away."""
        await self._ask(self._short, self._registry.check)

    async def facts(self, name: str) -> Facts:
        """See Registry; NotReadyError at once while MLflow is away."""
        return await self._ask(self._short, self._registry.facts, name)

    async def download(self, name: str, version: str, folder: Path) -> None:
        """See Registry; NotReadyError at once while MLflow is away."""
        await self._ask(self._long, self._registry.download, name, version, folder)

    async def _ask(self, pool: ThreadPoolExecutor, call: Callable[..., T], *args: Any) -> T:
        if self._waiting >= MOST_WAITING:
            raise BusyError("too many questions wait for MLflow")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, self._call, call, *args)
        finally:
            self._waiting -= 1

    def _call(self, call: Callable[..., T], *args: Any) -> T:
        # Asked here and not before: many may have waited for the thread.
        if self.away:
            raise self._not_ready()
        try:
            result = call(*args)
        except ModelNotFoundError:
            self.problem = ""
            raise
        except RegistryAwayError as error:
            self.problem = str(error)
            self._until = time.monotonic() + PAUSE_S
            raise self._not_ready() from error
        self.problem = ""
        return result

    def _not_ready(self) -> NotReadyError:
        return NotReadyError(f"MLflow does not answer: {self.problem}", retry_after=5)

    def close(self) -> None:
        """Ask nothing more."""
        for pool in (self._short, self._long):
            pool.shutdown(wait=False, cancel_futures=True)


class MlflowRegistry:
    """The registry of an MLflow server."""

    def __init__(self, tracking_uri: str):
        os.environ.update(LIMITS, MLFLOW_TRACKING_URI=tracking_uri)

    # Imported when it is asked, in a thread: it takes seconds, and /health answers meanwhile.
    @cached_property
    def _mlflow(self) -> Any:
        import mlflow

        return mlflow

    @cached_property
    def _client(self) -> Any:
        return self._mlflow.MlflowClient()

    def check(self) -> None:
        """See Registry."""
        self._told("", "", lambda: self._client.search_registered_models(max_results=1))

    def facts(self, name: str) -> Facts:
        """See Registry."""
        return self._told(name, "", self._facts, name)

    def _facts(self, name: str) -> Facts:
        model = self._client.get_registered_model(name)
        newest = self._client.search_model_versions(
            f"name = '{name}'", max_results=1, order_by=["version_number DESC"]
        )
        if not newest:
            raise ModelNotFoundError(f"model {name} has no versions")
        aliases = {alias: str(version) for alias, version in model.aliases.items()}
        return Facts(str(newest[0].version), aliases)

    def download(self, name: str, version: str, folder: Path) -> None:
        """See Registry."""
        uri = f"models:/{name}/{version}"
        fetch = self._mlflow.artifacts.download_artifacts
        self._told(name, f" version {version}", fetch, uri, dst_path=str(folder))

    def _told(self, name: str, version: str, call: Callable[..., T], *args: Any, **named: Any) -> T:
        """What a call returns, its failures as those of Registry."""
        try:
            return call(*args, **named)
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise ModelNotFoundError(f"MLflow has no model {name}{version}") from error
            raise RegistryAwayError(_short(error)) from error
        except OSError as error:  # requests' own exceptions are OSErrors too
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}:
                raise  # the volume's
            raise RegistryAwayError(_short(error)) from error


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]} ..."
