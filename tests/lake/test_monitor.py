"""What `datalab-edge monitor` says of models whose answers are known."""

import json
import math
import subprocess
from typing import Any

import pytest
from datalab_edge.drift import Answer, answers, estimated_accuracy

from tests.harness.lakehouse import Lakehouse, Stream, writer
from tests.harness.mlflow import ROOT, install

# Later than all that other tests put into the same lake.
FIRST = "2031-01-01"
# Three days of 400 answers: x is spread evenly, the prediction is x and true as often as it says.
# The model `moved` has a quarter of the range on its last day; `texts` is asked another text then.
EVENTS = f"""
INSERT INTO secure_stage.main.inference_events
SELECT name || '-' || i, name, '1',
    CASE name
        WHEN 'texts' THEN json_array(CASE WHEN i < 800 THEN 'a fine day' ELSE 'a poor night' END)
        ELSE json_array(json_object('x', x, 'n', i % 7)) END,
    CASE name WHEN 'counts' THEN 100 * x WHEN 'texts' THEN NULL ELSE x END,
    CASE name WHEN 'texts' THEN '{{"good": 0.9, "bad": 0.1}}'::JSON END,
    NULL, TIMESTAMP '{FIRST}' + INTERVAL 1 DAY * (i // 400) + INTERVAL 1 SECOND * i
FROM (
    SELECT name, i, CASE WHEN name = 'moved' AND i >= 800 THEN x / 4 ELSE x END AS x
    FROM (
        SELECT unnest(['steady', 'moved', 'counts', 'texts']) AS name, i,
            (hash(i) % 1000003) / 1000003 AS x
        FROM range(1200) t(i)
    )
)"""
# First wrong, then right: the newest counts.
FEEDBACK = f"""
INSERT INTO secure_stage.main.inference_feedback
SELECT inference_uuid, score, score::VARCHAR::JSON, moment FROM (
    SELECT inference_uuid, unnest([1 - outcome, outcome]) AS score,
        created_at + unnest([INTERVAL 1 SECOND, INTERVAL 2 SECOND]) AS moment
    FROM (
        SELECT *, ((hash(inference_uuid) % 1000003) / 1000003 < prediction)::INT AS outcome
        FROM secure_stage.main.inference_events
        WHERE model_name IN ('steady', 'moved') AND created_at >= '{FIRST}'
    )
)"""


@pytest.fixture(scope="module")
def numbers(lake: Lakehouse, broker: str) -> list[dict[str, Any]]:
    """Of those models, and in the table."""
    stream = Stream(broker)
    with writer(lake, stream) as running:  # it makes its tables
        stream.send(1)
        assert running.flush().status_code == 204
    lake.edge("sql", f"{EVENTS}; {FEEDBACK}")
    return monitor(lake, days=3)


@pytest.mark.service
def test_drift_and_performance_of_models(numbers: list[dict[str, Any]]) -> None:
    found = {(one["model_name"], one["day"]): one for one in numbers}
    assert len(found) == 4 * 3
    steady, moved, counts, texts = (
        found[name, "2031-01-03"] for name in ("steady", "moved", "counts", "texts")
    )
    assert steady["requests"] == steady["feedback"] == 400
    assert steady["prediction_mean"] == pytest.approx(0.5, abs=0.03)
    assert steady["prediction_ks"] < 0.1
    assert steady["prediction_ks_p"] > 0.05
    assert 0.4 < steady["feature_auc"] < 0.6
    # Of probabilities that are spread evenly and true: 3/4 are right, and p (1 - p) is 1/6.
    assert steady["estimated_accuracy"] == pytest.approx(0.75, abs=0.05)
    assert steady["brier"] == pytest.approx(1 / 6, abs=0.03)
    assert moved["prediction_ks"] == pytest.approx(0.75, abs=0.06)
    assert moved["prediction_ks_p"] < 1e-6
    assert moved["feature_auc"] > 0.75
    assert moved["estimated_accuracy"] == pytest.approx(7 / 8, abs=0.06)
    assert found["moved", "2031-01-02"]["prediction_ks"] < 0.1
    assert (counts["estimated_accuracy"], counts["brier"], counts["feedback"]) == (None, None, 0)
    assert counts["prediction_ks"] < 0.1
    assert texts["prediction_ks"] is None
    assert texts["feature_auc"] > 0.95
    assert texts["estimated_accuracy"] == pytest.approx(0.9)


@pytest.mark.service
def test_the_table_has_each_day_once(lake: Lakehouse, numbers: list[dict[str, Any]]) -> None:
    assert monitor(lake, days=1) == numbers[-4:]
    asked = f"FROM stage.monitoring.stats WHERE day >= '{FIRST}' ORDER BY 1, 2"
    assert lake.ask(asked) == numbers


@pytest.mark.service
@pytest.mark.usefixtures("numbers")
def test_the_notebook_plots_them(lake: Lakehouse) -> None:
    python = install("edge-notebook", ROOT / "edge/requirements-notebook.txt") / "python"
    show = (
        "import models; _, found = models.app.run(); "
        "print({len(chart.to_dict()['datasets']) for chart in found['charts'].values()}, "
        "sorted(set(found['days']['model'])))"
    )
    environment = lake.environment()
    environment["PYTHONPATH"] += f":{ROOT / 'examples/notebook'}"
    done = subprocess.run(
        [python, "-c", show], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{1} ['counts 1', 'moved 1', 'steady 1', 'texts 1']\n"


def monitor(lake: Lakehouse, days: int) -> list[dict[str, Any]]:
    python = install("edge-monitor", ROOT / "edge/requirements-monitor.txt") / "python"
    words = ("--days", str(days), "--reference", "300", "--json")
    done = subprocess.run(
        [python, "-m", "datalab_edge", "monitor", *words],
        env=lake.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.service
def test_without_its_packages_it_says_so(lake: Lakehouse) -> None:
    done = lake.edge("monitor", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'datalab-edge[monitor]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_each_row_of_a_request_is_an_answer() -> None:
    assert list(answers('[{"x": 1}, {"x": 2.5}]', None, "[0.25, NaN]", 1)) == [
        Answer({"x": 1.0}, 0.25, None, None),
        Answer({"x": 2.5}, None, None, None),
    ]
    assert list(answers('[{"x": null, "ok": true}]', 0.5, None, 1)) == [
        Answer({"ok": 1.0}, 0.5, None, 1)
    ]
    assert list(answers('"Fine, fine day"', None, '{"a": 0.7, "b": 0.3}', None)) == [
        Answer({"input=fine": 1.0, "input=day": 1.0}, None, 0.7, None)
    ]
    # Named numbers are probabilities where they could be; what no tree can hold is no feature.
    assert list(answers('[{"x": Infinity, "y": 1e300}]', None, '{"a": 70, "b": 0.3}', None)) == [
        Answer({}, None, None, None)
    ]
    # A model that gives another number of outputs than it had rows.
    assert [one.number for one in answers("[1, 2]", 3.0, None, None)] == [None, None]


@pytest.mark.parametrize("count", [10, 40])
def test_few_answers_say_nothing(count: int) -> None:
    some = [Answer({}, 0.9, None, None)] * count
    found = estimated_accuracy([], some)
    assert found is None if count == 10 else math.isclose(found or 0, 0.9)
