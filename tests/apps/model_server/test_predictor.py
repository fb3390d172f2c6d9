"""Real models, saved by MLflow and opened by the model server with its image's packages."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness.mlflow import MODEL_SERVER, ROOT, programs
from tests.harness.process import clean_environment

pytestmark = pytest.mark.service

SAVE = """
import mlflow, numpy, pandas, sys
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

table = pandas.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "n": [1, 2, 3, 4]})
# Else MLflow loads each model in another process to see what it imports.
NONE = {"pip_requirements": []}
def save(name, model, data):
    signature = infer_signature(data, model.predict(data))
    mlflow.sklearn.save_model(model, name, signature=signature, **NONE)

save("line", LinearRegression().fit(table, 2 * table["x"]), table)
save("yes", LogisticRegression(C=1e6).fit(table, [0, 0, 1, 1]), table)
save("named", LogisticRegression(C=1e6).fit(table, ["low", "low", "high", "high"]), table)
texts = pandas.Series(["good fine", "fine good day", "bad poor", "poor bad day"], name="text")
pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(C=1e6))
save("texts", pipeline.fit(texts, [1, 1, 0, 0]), texts)
iris = load_iris()
save("numbers", LogisticRegression(max_iter=1000).fit(iris.data, iris.target), iris.data)
bare = LogisticRegression(C=1e6).fit(table, [0, 0, 1, 1])
mlflow.sklearn.save_model(bare, "bare", **NONE)

import mlflow.xgboost, xgboost
trees = xgboost.XGBClassifier(n_estimators=20, min_child_weight=0).fit(table, [0, 0, 1, 1])
mlflow.xgboost.save_model(trees, "trees", signature=infer_signature(table, [0]), **NONE)
mlflow.xgboost.save_model(trees.get_booster(), "booster", **NONE)

class Mean(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input - model_input.mean()

mlflow.pyfunc.save_model("mean", python_model=Mean(), **NONE)

class Sizes(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [model_input["x"].astype(int).max(), model_input["x"].to_numpy()]

mlflow.pyfunc.save_model("sizes", python_model=Sizes(), **NONE)
open("needs.py", "w").write(
    "import mlflow, nowhere.to_be_found\\n"
    "class M(mlflow.pyfunc.PythonModel):\\n"
    "    def predict(self, context, model_input, params=None):\\n        return [1]\\n"
    "mlflow.models.set_model(M())\\n"
)
open("nowhere.py", "w").write("")
import os, types
sys.modules["nowhere"] = types.ModuleType("nowhere")
sys.modules["nowhere.to_be_found"] = types.ModuleType("nowhere.to_be_found")
mlflow.pyfunc.save_model("needs", python_model="needs.py", **NONE)
os.remove("nowhere.py")
"""
ASK = """
import json, pathlib, sys
from model_server.predictor import MissingPackageError, MlflowOpener
from model_server.refusals import InputError
opener = MlflowOpener()
opener.prepare()
answers = []
for name, rows in json.load(sys.stdin):
    try:
        model = opener.open(pathlib.Path(name))
        answers.append([model.row_by_row, model.predict(rows)])
    except InputError as error:
        answers.append(["InputError", str(error)])
    except MissingPackageError as error:
        answers.append(["MissingPackageError", str(error)])
json.dump(answers, sys.stdout)
"""


def python(code: str, folder: Path, given: str = "") -> str:
    env = clean_environment(HOME=str(folder), PYTHONPATH=str(folder / "app"))
    done = subprocess.run(
        [str(programs(MODEL_SERVER) / "python"), "-W", "ignore", "-c", code],
        env=env,
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Every question below with what came of it, asked in one process."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "app").mkdir()
    (folder / "app/model_server").symlink_to(ROOT / "apps/model_server")
    python(SAVE, folder)
    given = python(ASK, folder, json.dumps([one[1:] for one in QUESTIONS]))
    return dict(zip((one[0] for one in QUESTIONS), json.loads(given), strict=True))


QUESTIONS: list[tuple[str, str, list[dict[str, Any]]]] = [
    ("a number for each row", "line", [{"x": 2.0, "n": 2}, {"n": 4, "x": 4}]),
    ("the probability of class 1", "yes", [{"x": 1, "n": 1}, {"x": 4, "n": 4}]),
    ("each class by name", "named", [{"x": 4, "n": 4}]),
    ("a text without a name", "texts", [{"input": "good fine"}]),
    ("a text of the column", "texts", [{"text": "bad poor"}, {"text": "good"}]),
    ("numbers without names", "numbers", [{"a": 5.1, "b": 3.5, "c": 1.4, "d": 0.2}]),
    ("columns in another order", "bare", [{"n": 4, "x": 4.0}]),
    ("trees", "trees", [{"x": 1, "n": 1}, {"x": 4, "n": 4}]),
    ("a bare booster", "booster", [{"x": 1.0, "n": 1}, {"x": 4.0, "n": 4}]),
    ("not row by row", "mean", [{"x": 1.0}, {"x": 3.0}]),
    ("a list of NumPy's numbers", "sizes", [{"x": 1.0}, {"x": 3.0}]),
    ("a missing column", "yes", [{"x": 1}]),
    ("an unknown column", "yes", [{"x": 1, "n": 1, "z": 0}]),
    ("a text for a number", "yes", [{"x": 1, "n": 1}, {"x": "1", "n": 1}]),
    ("a fraction for a whole number", "yes", [{"x": 1, "n": 1.5}]),
    ("a number that is null", "yes", [{"x": None, "n": 1}]),
    ("a number for a text", "texts", [{"input": 3}]),
    ("a missing column without signature", "bare", [{"x": 4.0}]),
    ("a missing package", "needs", [{"x": 1}]),
]


def test_regression_and_probabilities(answers: Mapping[str, Any]) -> None:
    assert answers["a number for each row"] == [True, [pytest.approx(4), pytest.approx(8)]]
    low, high = answers["the probability of class 1"][1]
    assert low < 0.01
    assert high > 0.99
    (named,) = answers["each class by name"][1]
    assert set(named) == {"low", "high"}
    assert named["high"] > 0.99
    assert sum(named.values()) == pytest.approx(1)
    assert answers["columns in another order"][1][0] > 0.99
    for kind in ("trees", "a bare booster"):
        low, high = answers[kind][1]
        assert low < 0.3
        assert high > 0.7
    assert answers["not row by row"] == [False, [{"x": -1.0}, {"x": 1.0}]]
    assert answers["a list of NumPy's numbers"] == [False, [3, [1.0, 3.0]]]
    (flower,) = answers["numbers without names"][1]
    assert flower["0"] > 0.9


def test_texts_reach_a_model_of_texts(answers: Mapping[str, Any]) -> None:
    assert answers["a text without a name"][1][0] > 0.99
    bad, good = answers["a text of the column"][1]
    assert bad < 0.01
    assert good > 0.9


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("a missing column", "column n is missing"),
        ("an unknown column", "column z: the model has x, n"),
        ("a text for a number", "column x of row 1 takes numbers, not '1'"),
        ("a fraction for a whole number", "column n of row 0 takes whole numbers, not 1.5"),
        ("a number that is null", "NaN"),
        ("a number for a text", "column text of row 0 takes texts, not 3"),
        ("a missing column without signature", "n"),
    ],
)
def test_wrong_data_is_told_with_its_column(
    answers: Mapping[str, Any], question: str, said: str
) -> None:
    kind, text = answers[question]
    assert kind == "InputError"
    assert said in text


def test_a_package_that_is_missing_is_named(answers: Mapping[str, Any]) -> None:
    assert answers["a missing package"] == ["MissingPackageError", "nowhere"]
