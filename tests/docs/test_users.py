"""A person's first model, as docs/users.md has it, on the MLflow that the lab runs."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from apps.model_server.interface import Question
from settings.names import endpoints
from tests.docs.test_links import ROOT
from tests.harness.deploy import settings_of
from tests.harness.mlflow import MLFLOW, programs
from tests.harness.process import clean_environment

TEXT = (ROOT / "docs/users.md").read_text(encoding="utf-8")
COLUMNS = """
import json
found = mlflow.models.get_model_info("models:/iris@champion")
print(json.dumps(found.signature.inputs.input_names()))
"""


@pytest.mark.service
def test_the_first_model_is_logged_and_takes_what_it_is_asked(tmp_path: Path) -> None:
    """Its store is a file: that artifacts go through the server is tests/layers/services'."""
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    (body,) = re.findall(r"--json '(.*?)'", TEXT, re.DOTALL)
    done = subprocess.run(
        [str(programs(MLFLOW) / "python"), "-c", code + COLUMNS],
        env=clean_environment(
            HOME=str(tmp_path), MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db"
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    question = Question.model_validate_json(body)
    assert (question.models[0].name, question.models[0].version) == ("iris", "champion")
    assert list(json.loads(body)["records"][0]) == json.loads(done.stdout.splitlines()[-1])


def test_addresses_are_those_of_the_shipped_settings() -> None:
    known = {point.url for point in endpoints(settings_of("lab")).values()}
    named = re.findall(r"https://[\w.-]+\.arpa", TEXT)
    assert len(named) > 3
    assert set(named) <= known
