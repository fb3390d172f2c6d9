"""Plan, note and gate on made-up previews; test_real_preview.py takes the engine's own."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.ci import note
from cli.ci.gate import TOKEN, refusals
from cli.lib.plan import Plan, Step, reduce
from settings.budget import budget
from tests.harness.deploy import settings_of

VOLUME = "docker:index/volume:Volume"
CONTAINER = "docker:index/container:Container"
COMMAND = "command:local:Command"


def step(op: str, kind: str = CONTAINER, name: str = "x", **more: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:lab-services::datalab::datalab:services:Kafka${kind}::{name}"
    return {"op": op, "urn": urn, **more}


def plan(*steps: Step, layer: str = "services", failed: bool = False) -> Plan:
    return Plan(layer=layer, tree="t" * 40, steps=steps, failed=failed)


def test_what_nobody_changed_is_not_counted() -> None:
    stack = "urn:pulumi:lab-services::datalab::pulumi:pulumi:Stack::datalab-lab-services"
    provider = "urn:pulumi:lab-services::datalab::pulumi:providers:docker::docker"
    raw = {
        "steps": [
            {"op": "create", "urn": stack},
            {"op": "update", "urn": provider},
            step("same"),
            step("read"),
            step("refresh"),
            step("create-replacement"),
            step("replace", diffReasons=["image"]),
            step("delete-replaced"),
        ]
    }
    assert reduce("services", "t", raw).steps == (Step("replace", CONTAINER, "x", ("image",)),)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("create", {"create": 1, "update": 0, "delete": 0}),
        ("import", {"create": 1, "update": 0, "delete": 0}),
        ("update", {"create": 0, "update": 1, "delete": 0}),
        ("delete", {"create": 0, "update": 0, "delete": 1}),
        ("replace", {"create": 1, "update": 0, "delete": 1}),
        ("something-new", {"create": 0, "update": 1, "delete": 0}),
    ],
)
def test_gitlabs_report_knows_three_operations(op: str, expected: dict[str, int]) -> None:
    assert plan(Step(op, CONTAINER, "x")).report() == expected


def test_only_top_level_names_of_properties_are_kept() -> None:
    raw = step(
        "update",
        diffReasons=["envs", 'labels["password=hunter2hunter2"]', "networks[0].aliases", "'; DROP"],
        detailedDiff={'envs["hunter2hunter2"]': {"kind": "update"}},
        oldState={"inputs": {"envs": ["A=hunter2hunter2"]}},
        newState={"inputs": {"envs": ["A=hunter3hunter3"]}},
    )
    found = reduce("services", "t", {"steps": [raw]})
    assert found.steps[0].properties == ("envs", "labels", "networks")
    assert "hunter" not in found.text() + note.render([found], [], "c" * 40, "b" * 40, None)


def test_a_plan_reads_back_as_it_was_written() -> None:
    made = plan(Step("update", CONTAINER, "x", ("a", "b"), True), failed=True)
    assert Plan.parse(made.text()) == made


def test_the_note() -> None:
    plans = [
        plan(
            Step("replace", CONTAINER, "kafka-container", ("image",)),
            Step("create", CONTAINER, "new"),
            Step("update", COMMAND, "docker-host-key", ("environment",), reboots="docker"),
        ),
        plan(Step("delete", VOLUME, "data", (), True), layer="foundation"),
        plan(layer="apps", failed=True),
    ]
    settings = settings_of("lab")
    before = budget(settings)
    wanted = ["foundation", "platform", "services", "apps"]
    text = note.render(plans, wanted, "c" * 40, "b" * 40, (before, before))
    assert text.startswith(note.MARKER)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| layer | create | update | replace | delete |"
    assert rows[2] == "| foundation | 0 | 0 | 0 | **1** |"
    assert rows[3] == "| services | **1** | **1** | **1** | 0 |"
    assert rows[4].startswith("| apps | failed")
    assert rows[5].startswith("| platform | not previewed")
    assert "> - delete `data` (`Volume`) in foundation" in text
    assert "- machines that reboot, with everything on them: `docker`\n" in text
    assert "- away while it is replaced: `kafka`\n" in text
    assert "- data: replaced: none; deleted: `Volume data`\n" in text
    assert "Data is at stake" in text
    assert f"| containers, MiB | {before.containers_mib} | {before.containers_mib} |" in text
    assert "cccccccccccc" in text
    assert "<details>" in text


def test_names_bring_no_markup_into_the_note() -> None:
    hostile = "`</details>@all [x](http://evil) ![y](z)\n# big"
    text = note.render([plan(Step("create", CONTAINER, hostile))], [], "c" * 40, "b" * 40, None)
    for part in ("</details>@", "@all", "](http", "# big", "!["):
        assert part not in text


def test_a_long_note_is_cut_by_layers() -> None:
    many = tuple(Step("create", CONTAINER, f"resource-{n}") for n in range(3000))
    text = note.render([plan(*many)], [], "c" * 40, "b" * 40, None)
    assert len(text) < note.LONGEST
    assert "too many to list" in text
    assert "**3000**" in text


def test_the_note_says_when_main_has_moved_and_when_it_has_not() -> None:
    fresh = note.render([], [], "c" * 40, "b" * 40, None)
    old = note.stale(fresh, "d" * 40)
    assert note.STALE in old
    assert note.stale(old, "d" * 40) == old
    assert note.stale(old, "b" * 40) == note.stale(fresh, "b" * 40)
    assert note.STALE not in note.stale(old, "b" * 40)


REPLACED = Step("replace", VOLUME, "data", ("driver",), True)
UPDATED = Step("update", CONTAINER, "x", ("image",))
MORE = Step("update", CONTAINER, "x", ("envs", "image"))
UNNAMED = Step("update", CONTAINER, "x")
RENEWED = Step("update", TOKEN, "gitlab-notes", ("expiresAt", "token"))
WIDENED = Step("update", TOKEN, "gitlab-notes", ("scopes", "token"))
RECORD = Step("update", "vault:kv/secretV2:SecretV2", "ci-access-infra-ci-notes", ("dataJson",))


@pytest.mark.parametrize(
    ("now", "reviewed", "below", "by_hand", "words"),
    [
        (plan(UPDATED), plan(UPDATED), [], False, []),
        (plan(), plan(), [], False, []),
        (plan(), None, [], False, []),
        (plan(UPDATED), None, [], False, ["no merge request previewed"]),
        (plan(UPDATED), plan(failed=True), [], False, ["no merge request previewed"]),
        (plan(UPDATED), plan(), [], False, ["was not in the reviewed preview"]),
        # A retry: what the deployment that failed has done already is not to happen again.
        (plan(), plan(UPDATED), [], False, []),
        (plan(UPDATED), plan(UPDATED, REPLACED), [], False, []),
        (plan(Step("create", VOLUME, "data")), plan(REPLACED), [], False, []),
        (plan(Step("create", VOLUME, "data")), plan(UPDATED), [], False, ["was not in the rev"]),
        (plan(MORE), plan(UPDATED), [], False, ["was not in the reviewed preview"]),
        (plan(UPDATED), plan(MORE), [], False, []),
        (plan(UNNAMED), plan(UPDATED), [], False, ["was not in the reviewed preview"]),
        (plan(UNNAMED), plan(UNNAMED), [], False, []),
        # Tokens are renewed when it is time, whatever was reviewed.
        (plan(RENEWED, RECORD), None, [], False, []),
        (plan(RECORD), None, [], False, []),
        (plan(RENEWED, RECORD, UPDATED), None, [], False, ["no merge request previewed"]),
        (plan(RENEWED), plan(UPDATED), [], False, []),
        (plan(WIDENED), plan(), [], False, ["was not in the reviewed preview"]),
        (plan(replace(RENEWED, op="delete")), plan(), [], False, ["was not in the reviewed"]),
        (plan(REPLACED), plan(REPLACED), [], False, []),
        (plan(REPLACED), plan(), [], False, ["loses data", "was not in the reviewed"]),
        # A lower layer of the same merge request changed: others may differ, data may not go.
        (plan(UPDATED), plan(), [plan(UPDATED, layer="platform")], False, []),
        (plan(UPDATED), plan(), [plan(layer="platform")], False, ["was not in the reviewed"]),
        (plan(REPLACED), plan(), [plan(UPDATED, layer="platform")], False, ["loses data"]),
        (plan(REPLACED), None, [], True, ["loses data"]),
        (plan(UPDATED), None, [], True, []),
        (plan(REPLACED), plan(REPLACED), [], True, []),
    ],
)
def test_the_gate(
    now: Plan, reviewed: Plan | None, below: list[Plan], by_hand: bool, words: list[str]
) -> None:
    found = refusals(now, reviewed, below, by_hand=by_hand)
    assert len(found) == len(words), found
    assert all(word in text for word, text in zip(words, found, strict=True))


@pytest.mark.slow
@given(
    st.dictionaries(
        st.text(max_size=20),
        st.recursive(
            st.text(max_size=40) | st.integers() | st.none(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=9), inner, max_size=3)
            ),
        ),
        max_size=5,
    ),
    st.sampled_from(["create", "update", "replace", "delete"]),
)
def test_no_value_of_any_shape_reaches_note_or_artifact(inputs: dict[str, Any], op: str) -> None:
    secret = "planted-7f3a9c"
    planted = json.loads(json.dumps(inputs) or "{}")
    planted["value"] = secret
    planted[secret] = {"deep": [secret]}
    raw = step(
        op,
        newState={"inputs": planted, "outputs": planted, "sourcePosition": secret},
        oldState={"inputs": planted, "id": secret},
        detailedDiff={secret: {"kind": "update"}, f"a.{secret}": {"kind": "add"}},
        diffReasons=["value", f"map.{secret}", f'list["{secret}"]'],
    )
    found = reduce("apps", "t", {"steps": [raw], "config": {"k": secret}, "diagnostics": []})
    text = found.text() + json.dumps(found.report())
    assert secret not in text + note.render([found], [], "c" * 40, "b" * 40, None)
