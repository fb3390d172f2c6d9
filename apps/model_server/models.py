"""Models from MLflow's registry."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any, Protocol

Record = dict[str, Any]


class ModelNotFoundError(LookupError):
    """MLflow has no such model or version."""


class ModelInputError(ValueError):
    """The model does not take these inputs."""


class Models(Protocol):
    """Where models come from."""

    def resolve(self, name: str, version: str | None) -> str:
        """The version number for a number, an alias, or None for the newest."""
        ...

    def predict(self, name: str, version: str, inputs: Sequence[Record]) -> list[Any]:
        """One output for each input."""
        ...


class MlflowModels:
    """Models of an MLflow server; the `limit` used last stay in memory."""

    def __init__(self, tracking_uri: str, limit: int):
        # Imported here, as it takes seconds and the tests of the rest need none of it.
        import mlflow

        mlflow.set_tracking_uri(tracking_uri)
        self._mlflow = mlflow
        self._client = mlflow.MlflowClient(tracking_uri)
        self._lock = Lock()
        self._load: Callable[[str, str], Any] = lru_cache(maxsize=limit)(self._download)

    def resolve(self, name: str, version: str | None) -> str:
        """See Models."""
        try:
            if version is None:
                newest = self._client.search_model_versions(
                    f"name = '{name}'", max_results=1, order_by=["version_number DESC"]
                )
                if not newest:
                    raise ModelNotFoundError(f"there is no model {name}")
                return str(newest[0].version)
            if version.isdecimal():
                return str(self._client.get_model_version(name, version).version)
            return str(self._client.get_model_version_by_alias(name, version).version)
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise ModelNotFoundError(f"model {name} has no version {version}") from error
            raise

    def predict(self, name: str, version: str, inputs: Sequence[Record]) -> list[Any]:
        """See Models."""
        import pandas

        # One download at a time: two requests for a new model must not load it twice.
        with self._lock:
            model = self._load(name, version)
        try:
            outputs = model.predict(pandas.DataFrame(list(inputs)))
        except (self._mlflow.exceptions.MlflowException, ValueError, KeyError) as error:
            raise ModelInputError(f"model {name} does not take these inputs: {error}") from error
        if isinstance(outputs, pandas.DataFrame):
            return list(outputs.to_dict(orient="records"))
        return list(outputs.tolist() if hasattr(outputs, "tolist") else outputs)

    def _download(self, name: str, version: str) -> Any:
        return self._mlflow.pyfunc.load_model(f"models:/{name}/{version}")
