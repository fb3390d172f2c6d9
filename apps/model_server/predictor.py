"""A model of MLflow as a function of rows: its columns checked, its probabilities where it has."""

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .refusals import InputError

Record = Mapping[str, Any]

# The column that a text or a number without a name is; the original lab's trainer calls it so.
COLUMN = "input"
# Their models compute each row by itself, so that rows of several requests can be one table.
ROW_BY_ROW = {"mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost"}


class MissingPackageError(Exception):
    """The model imports what is not installed; the argument is the package's name."""


class Predictor(Protocol):
    """A loaded model."""

    row_by_row: bool

    def predict(self, rows: Sequence[Record]) -> list[Any]:
        """One output for each row; InputError where it does not take them."""
        ...


class Opener(Protocol):
    """What makes predictors of files."""

    def prepare(self) -> None:
        """Do what all models need, once."""
        ...

    def open(self, folder: Path) -> Predictor:
        """The model whose files are in a folder; MissingPackageError."""
        ...


class MlflowOpener:
    """Opens models that MLflow saved."""

    def prepare(self) -> None:
        """See Opener: imports take seconds, and are not the first model's memory."""
        for module in ("mlflow.pyfunc", "sklearn.pipeline", "skops.io"):
            importlib.import_module(module)

    def open(self, folder: Path) -> Predictor:
        """See Opener."""
        import mlflow

        try:
            return _Model(mlflow.pyfunc.load_model(str(_root(folder))))
        except ModuleNotFoundError as error:
            raise MissingPackageError(str(error.name).partition(".")[0]) from error
        except mlflow.exceptions.MlflowException as error:
            # skops: a type of a package that is not there is one that it does not know.
            if found := re.search(r"No module named '([\w-]+)", str(error)):
                raise MissingPackageError(found[1]) from error
            raise


def _root(folder: Path) -> Path:
    """Where MLmodel is: download_artifacts may put it into a folder of the artifact's name."""
    if (folder / "MLmodel").exists():
        return folder
    return next(folder.rglob("MLmodel")).parent


class _Model:
    """A model with MLflow's description of it."""

    def __init__(self, model: Any):
        self._model = model
        self._columns = _columns(model.metadata.get_input_schema())
        columns = (self._columns or {}).values()
        self._required = {column.name for column in columns if column.required}
        function = model.metadata.flavors["python_function"]
        self.row_by_row = function["loader_module"] in ROW_BY_ROW
        self._estimator = _estimator(model) if self.row_by_row else None
        # The person who logged it may have chosen another function (log_model's pyfunc_predict_fn).
        if function.get("predict_fn", "predict") not in ("predict", "predict_proba"):
            self._estimator = None
        classes = getattr(self._estimator, "classes_", None)
        has = hasattr(self._estimator, "predict_proba") and hasattr(classes, "tolist")
        self._classes: list[Any] = classes.tolist() if has and classes is not None else []
        self._names = list(getattr(self._estimator, "feature_names_in_", ()))
        self._texts = _takes_texts(self._estimator)

    def predict(self, rows: Sequence[Record]) -> list[Any]:
        """See Predictor."""
        import mlflow

        try:
            table = self._table(rows)
            if self._estimator is None:
                return _plain(self._model.predict(table))
            given = table.iloc[:, 0] if self._texts else table
            if not self._classes:
                return _plain(self._estimator.predict(given))
            return self._named(self._estimator.predict_proba(given).tolist())
        except (mlflow.exceptions.MlflowException, ValueError, KeyError, TypeError) as error:
            raise InputError(f"the model does not take this data: {error}") from error

    def _named(self, rows: list[list[float]]) -> list[Any]:
        """The probability of class 1 where the classes are 0 and 1, else that of each by name."""
        if self._classes in ([0, 1], [False, True]):
            return [row[1] for row in rows]
        names = [str(one) for one in self._classes]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _table(self, rows: Sequence[Record]) -> Any:
        import pandas

        if self._columns is None:
            table = pandas.DataFrame([dict(row) for row in rows])
            return table[self._names] if self._names else table
        if len(self._columns) == 1 and all(tuple(row) == (COLUMN,) for row in rows):
            # Data without a name is the only column, whatever it is called.
            (name,) = self._columns
            rows = [{name: row[COLUMN]} for row in rows]
        known = self._columns.keys()
        for row in rows:
            if unknown := row.keys() - known:
                has = ", ".join(self._columns)
                raise InputError(f"column {min(unknown)}: the model has {has:.500}")
            if missing := self._required - row.keys():
                raise InputError(f"column {min(missing)} is missing")
        return pandas.DataFrame(
            {
                name: column.values([row.get(name) for row in rows])
                for name, column in self._columns.items()
                if column.required or any(name in row for row in rows)
            }
        )


class _Column:
    """A column of a model's signature."""

    def __init__(self, name: str, kind: Any, required: bool):
        self.name = name
        self.required = required
        self._kind = str(getattr(kind, "name", "other"))
        self._dtype = kind.to_pandas() if self._kind in CHECKS else None

    def values(self, given: list[Any]) -> Any:
        """The values as what the model was trained with; InputError naming the column."""
        import pandas

        if self._dtype is None:
            if self._kind == "datetime":
                return pandas.to_datetime(given)
            return pandas.Series(given)
        takes, what = CHECKS[self._kind]
        for number, value in enumerate(given):
            missing = value is None and not self.required
            if not missing and not takes(value):
                said = f"column {self.name} of row {number} takes {what}, not {value!r:.100}"
                raise InputError(said)
        if None in given:  # an optional column; the type may have no word for what is missing
            return pandas.Series(given)
        try:
            return pandas.Series(given, dtype=self._dtype)
        except (ValueError, OverflowError) as error:
            raise InputError(f"column {self.name}: {error}") from error


def _number(value: Any) -> bool:
    # JSON has no word for a number that is missing but null.
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


# What a column of MLflow's type takes (DataType in mlflow.types.schema).
CHECKS: dict[str, tuple[Any, str]] = {
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "integer": (_whole, "whole numbers"),
    "long": (_whole, "whole numbers"),
    "float": (_number, "numbers"),
    "double": (_number, "numbers"),
    "string": (lambda value: isinstance(value, str), "texts"),
}


def _estimator(model: Any) -> Any:
    """Scikit-learn's object, or one that is made like it; None for any other."""
    from sklearn.base import BaseEstimator

    try:
        raw = model.get_raw_model()
    except NotImplementedError:
        return None
    return raw if isinstance(raw, BaseEstimator) else None


def _columns(schema: Any) -> dict[str, _Column] | None:
    """The signature's columns; None where there is none that names columns."""
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return None
    return {
        str(name): _Column(str(name), column.type, column.required)
        for name, column in schema.input_dict().items()
    }


def _takes_texts(estimator: Any) -> bool:
    """Whether it begins with what takes a list of texts, such as TF-IDF, and not a table."""
    from sklearn.utils import get_tags

    while hasattr(estimator, "steps"):
        estimator = estimator.steps[0][1]
    try:
        tags = get_tags(estimator).input_tags
    except (AttributeError, TypeError):  # none, or not scikit-learn's own
        return False
    return bool(tags.string and not tags.two_d_array)


def _plain(outputs: Any) -> list[Any]:
    """What a model gave, as JSON has it."""
    if hasattr(outputs, "to_dict") and hasattr(outputs, "columns"):  # a DataFrame
        return list(outputs.to_dict(orient="records"))
    if hasattr(outputs, "tolist"):
        return list(outputs.tolist())
    return [one.tolist() if hasattr(one, "tolist") else one for one in outputs]
