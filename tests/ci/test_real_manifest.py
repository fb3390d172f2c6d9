"""The manifest of images on the real engine: who built an image makes no difference to the lab."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from cli.ci import run
from cli.ci.gate import refusals
from layers import LAYERS
from settings.images import PUSHED
from tests.engine.lab import Lab, bring_up, lab
from toolchain.install import ROOT

pytestmark = pytest.mark.engine
TAGS = """
import json
from cli.ci import images
from targets.image import version
print(json.dumps({name: version(recipe) for name, recipe in images.recipes().items()}))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab("lab", tmp_path_factory.mktemp("lab")) as here:
        bring_up(here, LAYERS)
        yield here


def test_a_pipeline_goes_on_from_what_a_person_deployed(made: Lab) -> None:
    engine, stack = made.scratch.engine, made.scratch.stack("apps")
    running = json.loads(engine.capture("stack", "output", "images", "--json", "-s", stack))
    # As the program has them: it knows images by digest, which the tests' process does not.
    answer = subprocess.run([sys.executable, "-c", TAGS], cwd=ROOT, capture_output=True, check=True)
    tags = json.loads(answer.stdout)
    entries = {name: {"version": tags[name], "image": running[name]} for name in running}

    def give(pushed: Mapping[str, Mapping[str, str]]) -> None:
        made.configure({f"datalab:{PUSHED}": json.dumps(pushed)})

    give(entries)

    assert f"{len(running)} to delete" in engine.capture(
        "preview", "-s", stack
    )  # builds, and no more
    code, plan = run._preview(engine, made.env, "apps")
    assert (code, plan.steps) == (0, ())

    engine.capture("up", "--yes", "--skip-preview", "-s", stack)
    kept = json.loads(engine.capture("stack", "output", "images", "--json", "-s", stack))
    assert kept == running
    assert run._preview(engine, made.env, "apps", "--expect-no-changes")[0] == 0

    newer = f"{running['web'].partition('@')[0]}@sha256:{'ab' * 32}"
    give({**entries, "web": {**entries["web"], "image": newer}})
    _, plan = run._preview(engine, made.env, "apps")
    assert {(step.op, step.name) for step in plan.steps} == {
        ("replace", "web-image"),
        ("replace", "web-container"),
    }

    # In the merge request that changes it, the image is not there yet.
    old = {**entries["web"], "version": "0" * 12}
    give({**entries, "web": old})
    _, reviewed = run._preview(engine, made.env, "apps")
    assert refusals(plan, reviewed, []) == []
