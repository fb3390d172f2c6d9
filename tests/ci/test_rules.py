"""Which jobs each kind of pipeline has: every workflow, every rule."""

import re
from pathlib import Path
from typing import get_args

import pytest

from provision import specs
from settings.services.gitlab_project import Workflow
from tests.harness.inputs import check_inputs, declared
from tests.harness.pipelines import ROOT, Repository

pytestmark = pytest.mark.service

LAB, FORK = "1", "77"
LAYERS = ("foundation", "platform", "services", "apps")
PREVIEWS = {f"preview:{layer}" for layer in LAYERS}
PROVISIONERS = {"postgres", "kafka", "ollama"}

# A changed path and the layers that it touches.
PATHS = [
    ("Pulumi.lab.yaml", LAYERS),
    ("images.yaml", LAYERS),
    ("images.sum", LAYERS),
    ("__main__.py", LAYERS),
    ("requirements.txt", LAYERS),
    ("settings/base.py", LAYERS),
    ("targets/docker.py", LAYERS),
    ("layers/outputs.py", LAYERS),
    ("ansible/roles/vault/tasks/main.yml", LAYERS),
    ("layers/foundation/vault.py", ("foundation",)),
    ("layers/foundation/files/vault/policies/a.hcl", ("foundation",)),
    ("layers/platform/gitlab.py", ("platform",)),
    ("layers/services/files/vault/roles.yaml", ("services",)),
    ("layers/apps/web.py", ("apps",)),
    ("apps/web/server.js", ("apps",)),
    ("images/mlflow/Dockerfile", ("services", "apps")),
    ("provision/kafka.py", ("services", "apps")),
    ("docs/ci.md", ()),
    ("README.md", ()),
    ("Pulumi.dev.yaml", ()),
    ("tests/ci/test_rules.py", ()),
    ("rehearsal/world.py", ()),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    files = {name: ROOT / name for name in (".gitlab-ci.yml", ".ci")}
    return Repository.make(tmp_path_factory.mktemp("rules"), "datalab/datalab", files)


def merge_request(source: str) -> dict[str, str]:
    return {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_MERGE_REQUEST_IID": "5",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": source,
        "CI_MERGE_REQUEST_PROJECT_ID": LAB,
    }


def on_main(source: str) -> dict[str, str]:
    return {
        "CI_PIPELINE_SOURCE": source,
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_REF_NAME": "main",
    }


@pytest.mark.parametrize(("path", "layers"), PATHS)
def test_a_merge_request_previews_what_it_touches(
    repository: Repository, path: str, layers: tuple[str, ...]
) -> None:
    repository.change(path)
    found = repository.jobs(merge_request(LAB))
    assert set(found) == {"check", "note", *(f"preview:{layer}" for layer in layers)}
    assert found["note"] == "always"  # it tells of failed previews too


@pytest.mark.parametrize("path", ["Pulumi.lab.yaml", "layers/foundation/vault.py", "README.md"])
def test_a_fork_is_only_rehearsed(repository: Repository, path: str) -> None:
    repository.change(path)
    assert set(repository.jobs(merge_request(FORK))) == {"check", "rehearse"}


@pytest.mark.parametrize(("path", "layers"), PATHS)
def test_a_push_to_main_deploys_the_upper_layers_only(
    repository: Repository, path: str, layers: tuple[str, ...]
) -> None:
    repository.change(path)
    expected = {"notes"}
    for layer in layers:
        below = layer in ("foundation", "platform")
        expected.add(f"pending:{layer}" if below else f"deploy:{layer}")
    if path.startswith(("images/", "provision/", "apps/")) or path in (
        "images.yaml",
        "images.sum",
        "requirements.txt",
    ):
        expected.add("images")
    assert set(repository.jobs(on_main("push"))) == expected


@pytest.mark.parametrize("source", ["web", "api", "schedule"])
@pytest.mark.parametrize(
    ("workflow", "jobs"),
    [
        ("plan", PREVIEWS),
        ("deploy", {"deploy:services", "deploy:apps"}),
        ("force_apps_deploy", {"deploy:apps"}),
        ("images", {"images"}),
        ("drift", {"drift", "notes"}),
    ],
)
def test_a_person_or_the_clock_starts_a_workflow(
    repository: Repository, source: str, workflow: str, jobs: set[str]
) -> None:
    repository.change("README.md")
    assert set(repository.jobs(on_main(source), {workflow: True})) == jobs


def test_settings_allow_every_workflow_that_the_clock_can_start(repository: Repository) -> None:
    repository.change("README.md")
    switches = {
        name
        for name, rules in declared(ROOT / ".gitlab-ci.yml").items()
        if rules.get("type") == "boolean"
    }
    clock = on_main("schedule")
    assert {name for name in switches if repository.jobs(clock, {name: True})} == set(
        get_args(Workflow)
    )


@pytest.mark.parametrize("source", ["trigger", "pipeline"])
def test_the_trigger_token_starts_provisioning_and_nothing_else(
    repository: Repository, source: str
) -> None:
    repository.change("Pulumi.lab.yaml", "images/runner/Dockerfile")
    ids: dict[str, object] = {"request_project": "42", "request_id": "ab" * 16}
    for kind in PROVISIONERS:
        found = repository.jobs(on_main(source), {f"provision_{kind}": True, **ids})
        assert set(found) == {f"provision:{kind}"}
    every: dict[str, object] = dict.fromkeys(
        ("plan", "deploy", "force_apps_deploy", "images", "drift"), True
    )
    assert repository.jobs(on_main(source), every) == {}


VALUES: dict[str, dict[str, object]] = {
    "postgres": {"db_name": "by_hand", "db_user": "by_hand_user", "db_mode": "dynamic"},
    "kafka": {"topic": "by-hand", "group": "g", "partitions": 3, "retention_hours": 24},
    "ollama": {"model": "llama3.2:1b"},
}


@pytest.mark.parametrize("kind", sorted(PROVISIONERS))
def test_only_a_person_provisions_by_values(repository: Repository, kind: str) -> None:
    repository.change("README.md")
    values = {f"provision_{kind}": True, "request_project": "42", **VALUES[kind]}
    assert set(repository.jobs(on_main("web"), values)) == {f"provision:{kind}"}
    for source in ("trigger", "pipeline", "api", "schedule"):
        assert repository.jobs(on_main(source), values) == {}, source
    elsewhere = {**on_main("web"), "CI_COMMIT_BRANCH": "feature"}
    assert repository.jobs(elsewhere, values) == {}


@pytest.mark.parametrize("request_id", ["", "ab" * 16])
@pytest.mark.parametrize("kind", sorted(PROVISIONERS))
def test_the_job_passes_the_values_or_the_request(
    repository: Repository, tmp_path: Path, kind: str, request_id: str
) -> None:
    (tmp_path / "provision").write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    (tmp_path / "provision").chmod(0o755)
    code, output = repository.run(
        variables=on_main("web"),
        inputs={
            f"provision_{kind}": True,
            "request_project": "42",
            "request_id": request_id,
            **VALUES[kind],
        },
        path=[tmp_path],
    )
    assert code == 0, output
    words = re.findall(r"<([^<>]*)>", output)
    assert words[:3] == [kind, "--project", "42"]
    if request_id:
        assert words[3:] == ["--request", request_id]
    else:
        spec = specs.KINDS[kind]
        given = dict(zip(words[3::2], words[4::2], strict=True))
        made = specs.parse(
            spec, {name[2:].replace("-", "_"): value for name, value in given.items()}
        )
        assert list(vars(made).values()) == list(VALUES[kind].values())


def test_gitlab_takes_so_many_inputs() -> None:
    """20 at most, by https://docs.gitlab.com/ci/inputs/."""
    assert len(declared(ROOT / ".gitlab-ci.yml")) <= 20


def test_no_input_no_work(repository: Repository) -> None:
    repository.change("README.md")
    for source in ("web", "api", "schedule", "trigger"):
        assert repository.jobs(on_main(source)) == {}


def test_other_branches_have_no_pipeline(repository: Repository) -> None:
    """With GitLab there is none at all; gitlab-ci-local leaves no job."""
    repository.change("Pulumi.lab.yaml")
    elsewhere = {**on_main("push"), "CI_COMMIT_BRANCH": "feature"}
    assert repository.jobs(elsewhere) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_project", "42; id"),
        ("request_project", "../43"),
        ("request_project", "042"),
        ("request_project", "9" * 20),
        ("request_id", "x"),
        ("request_id", "../../projects/43/requests/" + "a" * 32),
        ("request_id", "A" * 32),
        ("db_name", "a; DROP DATABASE x"),
        ("db_user", "a" * 64),
        ("topic", "__consumer_offsets"),
        ("group", "$(id)"),
        ("model", "../../x"),
        ("plan", "perhaps"),
        ("provision_postgres", "1; id"),
    ],
)
def test_wrong_inputs_are_refused(repository: Repository, name: str, value: str) -> None:
    repository.change("README.md")
    with pytest.raises(ValueError, match=name):
        repository.jobs(on_main("trigger"), {name: value})


def test_unknown_inputs_are_refused_by_the_stand_in_as_by_gitlab() -> None:
    rules = declared(ROOT / ".gitlab-ci.yml")
    assert all("default" in rule for rule in rules.values()), "automatic pipelines could not start"
    with pytest.raises(Exception, match="not defined"):
        check_inputs(rules, {"shell": "id"})


@pytest.mark.parametrize(
    ("file", "name", "pattern"),
    [
        ("postgres", "db_name", specs.POSTGRES_NAME),
        ("postgres", "db_user", specs.POSTGRES_NAME),
        ("kafka", "topic", specs.KAFKA_NAME),
        ("kafka", "group", specs.KAFKA_NAME),
        ("ollama", "model", specs.MODEL),
        ("ollama", "pull", specs.MODEL),
    ],
)
def test_both_sides_have_one_grammar(file: str, name: str, pattern: str) -> None:
    optional = f"^({pattern.removeprefix('^').removesuffix('$')})?$"
    template = declared(ROOT / f".ci/provision/{file}.yml")[name]
    assert template["regex"] == (optional if "default" in template else pattern)
    if name != "pull":
        for place in (f".ci/{file}.yml", ".gitlab-ci.yml"):
            assert declared(ROOT / place)[name]["regex"] == optional, place


@pytest.mark.parametrize("file", ["postgres", "kafka", "ollama"])
def test_the_ids_have_one_grammar(file: str) -> None:
    for rules in (declared(ROOT / ".gitlab-ci.yml"), declared(ROOT / f".ci/{file}.yml")):
        for name, pattern in (
            ("request_project", specs.PROJECT),
            ("request_id", specs.REQUEST),
        ):
            inner = pattern.removeprefix("^").removesuffix("$")
            assert rules[name]["regex"] == f"^({inner})?$"  # empty where no one asks


def test_all_jobs_say_the_audience_that_vault_expects() -> None:
    import yaml

    data = yaml.safe_load((ROOT / "layers/services/files/vault/roles.yaml").read_text())
    places: list[Path] = [*(ROOT / ".ci").rglob("*.yml"), ROOT / ".gitlab-ci.yml"]
    found = [word for place in places for word in re.findall(r"aud: ([\w-]+)", place.read_text())]
    assert found
    assert set(found) == {data["audience"]}


def test_no_job_keeps_a_secret_in_variables_artifacts_or_reports() -> None:
    for place in [*(ROOT / ".ci").rglob("*.yml"), ROOT / ".gitlab-ci.yml"]:
        text = place.read_text()
        assert "dotenv" not in text
        assert not re.findall(r"(?im)^\s+\w*(?:password|secret)\w*: ", text), place
