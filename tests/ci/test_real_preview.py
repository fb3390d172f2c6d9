"""The note from previews of the real engine: whatever the program holds, only names come out."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.ci import note, run
from cli.lib.plan import Plan, reduce
from cli.lib.pulumi import DRIFTED
from tests.engine.lab import Lab, bring_up, lab, strings

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab("dev", tmp_path_factory.mktemp("dev")) as here:
        bring_up(here, ("foundation", "platform"))
        here.configure({"foundation.vault.container.memory_mib": 777})
        yield here


@pytest.fixture
def at_rest(made: Lab) -> Iterator[Lab]:
    """The same without the changed setting; what a test changes in the world is undone."""
    made.save("changed")
    made.restore("after platform")
    yield made
    made.restore("changed")


@pytest.mark.parametrize("layer", ["foundation", "platform", "services"])
def test_only_names_come_out(
    made: Lab, layer: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, plan = run._preview(made.scratch.engine, made.env, layer)
    shown = capfd.readouterr().out
    assert code == 0, shown
    plan.write(tmp_path)
    artifacts = "".join(file.read_text() for file in tmp_path.iterdir())
    text = note.render([plan], [], "c" * 40, "b" * 40, None)

    answer = made.preview(layer, "--json").said
    raw = json.loads(answer[answer.index("{") :])
    names = {part for step in raw["steps"] for part in step["urn"].split("::")}
    known = {word for name in names for word in (name, *name.split("$"))}
    values = {
        value
        for step in raw["steps"]
        for state in (step.get("newState"), step.get("oldState"))
        for value in strings({k: (state or {}).get(k) for k in ("inputs", "outputs")})
        if len(value) >= 8 and not any(value in name for name in known)
    } | made.secrets()
    assert len(values) > 30
    for place in (shown, artifacts, text):
        assert not [value for value in values if value in place]


def test_a_changed_setting_is_one_row(made: Lab) -> None:
    _, plan = run._preview(made.scratch.engine, made.env, "foundation")
    assert plan.steps, "the change shows in no step"
    assert {step.op for step in plan.steps} <= {"update", "replace"}
    assert any("memory" in step.properties for step in plan.steps)
    report = plan.report()
    assert sum(report.values()) >= len(plan.steps)
    assert Plan.parse(plan.text()) == plan


def test_nothing_to_do_is_no_step(made: Lab) -> None:
    code, plan = run._preview(made.scratch.engine, made.env, "platform", "--expect-no-changes")
    assert (code, plan.steps) == (0, ())


def test_drift_is_a_step(at_rest: Lab) -> None:
    def preview(*options: str) -> tuple[int, Plan]:
        engine, words = at_rest.scratch.engine, (*options, "--expect-no-changes")
        return run._preview(engine, at_rest.env, "foundation", *words)

    code, plan = preview("--refresh")
    assert (code, plan.steps) == (0, ()), "it would change again"
    containers = at_rest.world.find("docker:index/container:Container")
    (vault,) = [one for one in containers if "vault" in one.name]
    vault.inputs["memory"] += 1
    code, plan = preview()
    assert (code, plan.steps) == (0, ()), "only a refresh can see the world"
    code, plan = preview("--refresh")
    assert code == DRIFTED
    assert not plan.failed
    assert [step.name for step in plan.steps] == ["vault-container"]
    assert "memory" in plan.steps[0].properties


def test_a_program_that_fails_is_a_failed_plan(made: Lab) -> None:
    code, plan = run._preview(made.scratch.engine, made.env, "apps")
    assert code not in (0, DRIFTED)
    assert plan.failed
    assert reduce("apps", "t", {}).steps == ()
