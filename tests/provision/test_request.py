"""The consumer's side: request, env and run, against a real Vault API and GitLab's stand-in."""

import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import jsonschema
import pytest

from tests.harness.gitlab import Pipeline, check_request
from tests.harness.vault_answers import serving
from tests.provision.lab import READ_TOKEN, Lab

pytestmark = pytest.mark.service

POSTGRES = ("request", "postgres", "--database", "asked", "--user", "asked_user")
OTHER = 43


@pytest.fixture(autouse=True)
def forge(servers: Lab) -> Iterator[None]:
    servers.gitlab.pipelines.clear()
    servers.gitlab.requests.clear()
    yield
    servers.gitlab.on_trigger = lambda pipeline: None
    servers.gitlab.faults.clear()


def comes_to(servers: Lab, *statuses: str, **job: Any) -> None:
    """The next pipelines go through `statuses`, with one job."""

    def decide(pipeline: Pipeline) -> None:
        pipeline.statuses = list(statuses)
        pipeline.jobs = [
            {
                "id": 7,
                "name": "postgres",
                "status": statuses[-1],
                "failure_reason": None,
                "trace": b"",
                **job,
            }
        ]

    servers.gitlab.on_trigger = decide


def requests_of(servers: Lab, project: int) -> list[str]:
    answer = servers.bao.client().list(f"kv/metadata/projects/{project}/requests")
    names: list[str] = answer["data"]["keys"] if isinstance(answer, dict) else []
    return names


def test_only_the_two_ids_leave_the_project(servers: Lab) -> None:
    seen: dict[str, Any] = {}

    def decide(pipeline: Pipeline) -> None:
        pipeline.statuses = ["success"]
        request = pipeline.inputs["request_id"]
        seen.update(servers.read(f"projects/44/requests/{request}"))

    servers.gitlab.on_trigger = decide
    code, output = servers.run(*POSTGRES, env=servers.environment(44))
    assert code == 0, output
    method, path, body = servers.gitlab.requests[0]
    assert (method, path) == ("POST", "/api/v4/projects/1/trigger/pipeline")
    assert set(body["inputs"]) == {"provision_postgres", "request_project", "request_id"}
    assert body["inputs"]["request_project"] == "44"
    assert not body["variables"]
    del seen["version"]
    assert seen == {"kind": "postgres", "database": "asked", "user": "asked_user", "mode": "static"}
    assert requests_of(servers, 44) == []  # cleaned up


@pytest.mark.parametrize("status", ["failed", "canceled", "skipped", "manual"])
def test_every_kind_of_failure_fails_the_caller_within_one_poll(servers: Lab, status: str) -> None:
    trace = "\x1b[31mline\x1b[0m\r\nsection_start:1:x\r\x1b[0Kprovision: role asked is taken\n"
    comes_to(
        servers,
        *("pending", "running", status),
        trace=trace.encode(),
        failure_reason="script_failure",
    )
    code, output = servers.run(*POSTGRES, env=servers.environment(44))
    assert code == 1
    assert f"pipeline 1 of the lab is {status}" in output
    assert "provision: role asked is taken" in output
    assert "script_failure" in output
    assert "\x1b" not in output
    polls = [path for _, path, _ in servers.gitlab.requests if path.endswith("/pipelines/1")]
    assert len(polls) == 3  # the one that says so is the last
    assert requests_of(servers, 44) == []


def test_a_pipeline_that_never_starts_times_out_and_may_still_do_it(servers: Lab) -> None:
    comes_to(servers, "pending")
    code, output = servers.run(*POSTGRES, "--timeout", "2", env=servers.environment(45))
    assert code == 4
    assert "pipeline 1 is pending after 2 s" in output
    (request,) = requests_of(servers, 45)
    code, output = servers.run("postgres", "--project", "45", "--request", request)
    assert code == 0, output
    kv = servers.bao.client().secrets.kv.v2
    metadata = kv.read_secret_metadata(f"projects/45/requests/{request}", mount_point="kv")["data"]
    ((_, version),) = metadata["versions"].items()
    made, gone = (
        datetime.fromisoformat(version[key][:19]) for key in ("created_time", "deletion_time")
    )
    assert timedelta(hours=23) < gone - made < timedelta(hours=25)


def test_a_cancelled_job_takes_its_request_back(servers: Lab) -> None:
    comes_to(servers, "running")
    process = servers.start(*POSTGRES, env=servers.environment(46))
    while not servers.gitlab.pipelines:
        time.sleep(0.05)
    assert len(requests_of(servers, 46)) == 1
    process.terminate()
    code, output = servers.finish(process)
    assert (code, "interrupted; run it again" in output) == (143, True), output
    assert requests_of(servers, 46) == []


def test_a_timeout_shows_how_far_the_running_job_came(servers: Lab) -> None:
    comes_to(servers, "running", trace=b"\x1b[31mwaiting for the lock of asked\x1b[0m\n")
    code, output = servers.run(*POSTGRES, "--timeout", "2", env=servers.environment(44))
    assert code == 4
    assert "pipeline 1 is running after 2 s" in output
    assert "--- postgres: running" in output
    assert "    waiting for the lock of asked" in output
    assert "\x1b" not in output


def test_a_timeout_stays_one_where_gitlab_shows_no_log(servers: Lab) -> None:
    comes_to(servers, "running", trace=None)
    code, output = servers.run(*POSTGRES, "--timeout", "2", env=servers.environment(44))
    assert code == 4, output


def test_the_stand_in_takes_no_request_that_gitlab_would_ignore(servers: Lab) -> None:
    paths = {
        "trigger/pipeline": {"token": servers.gitlab.trigger_token, "ref": "main", "input": {}},
        "merge_requests/5/notes": {"text": "misspelt"},
        "issues": {"description": "without a title"},
    }
    for path, body in paths.items():
        with pytest.raises(jsonschema.ValidationError):
            check_request("POST", f"/api/v4/projects/1/{path}", body)
    url = f"{servers.gitlab.url}/api/v4/projects/1/trigger/pipeline"
    good = {"token": servers.gitlab.trigger_token, "ref": "main"}
    # GitLab looks at the scopes of a token that comes along, and this one may only read.
    refused = httpx.post(url, json=good, headers={"PRIVATE-TOKEN": READ_TOKEN})
    assert refused.status_code == 403
    assert httpx.post(url, json=good).status_code == 201


def test_gitlab_may_stumble(servers: Lab) -> None:
    comes_to(servers, "running", "success")
    servers.gitlab.faults = [502]
    code, output = servers.run(*POSTGRES, env=servers.environment(44))
    assert code == 0, output


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_gitlab_is_one_line(servers: Lab, status: int) -> None:
    servers.gitlab.faults = [status]
    code, output = servers.run(*POSTGRES, env=servers.environment(44))
    assert code == 1
    assert "GitLab failed" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_page_instead_of_gitlab_is_one_line(servers: Lab, number: int) -> None:
    """At the trigger, at a look at the pipeline, at its jobs, and at a job's log."""
    comes_to(servers, "failed" if number > 1 else "success")
    servers.gitlab.faults = [*[None] * number, "<html><title>Sign in</title></html>"]
    code, output = servers.run(*POSTGRES, env=servers.environment(44))
    assert (code, "Traceback" in output) == (1, False), output
    assert ("GitLab failed" in output) == (number < 3)  # a log may hold anything


def acts(servers: Lab, kind: str) -> None:
    """The next pipelines are the lab's own: they run `provision KIND` on the request."""

    def decide(pipeline: Pipeline) -> None:
        ids = ("request_project", "request_id")
        project, request = (pipeline.inputs[name] for name in ids)
        code, _ = servers.run(kind, "--project", project, "--request", request)
        pipeline.statuses = ["failed" if code else "success"]

    servers.gitlab.on_trigger = decide


def test_who_asks_for_anothers_name_is_refused_and_told_whose_it_is(servers: Lab) -> None:
    """Not only in the lab's log: a script goes by the exit code of the guide."""
    acts(servers, "postgres")
    words = ("request", "postgres", "--database", "claimed", "--user", "claimed_user")
    assert servers.run(*words, env=servers.environment(44))[0] == 0
    before = requests_of(servers, OTHER)  # of other tests
    code, output = servers.run(*words, env=servers.environment(OTHER))
    assert code == 3, output
    assert "provision: postgres.user: role claimed_user belongs to project 44; " in output
    assert "ask who administers the lab to give this one back (docs/ci.md)" in output
    assert requests_of(servers, OTHER) == before
    own = ("request", "postgres", "--database", "postgres_exporter", "--user", "provisioner")
    code, output = servers.run(*own, env=servers.environment(44))
    assert (code, "role provisioner is the lab's own" in output) == (3, True), output
    mine = ("request", "postgres", "--database", "claimed", "--user", "other_user")
    code, output = servers.run(*mine, env=servers.environment(44))
    assert (code, "is your own role claimed_user's; ask for it with" in output) == (3, True), output
    code, output = servers.run(*mine, env=servers.environment(OTHER))
    assert (code, "database: claimed belongs to project 44" in output) == (3, True), output


def test_a_request_that_the_lab_finds_wrong_is_the_callers_fault(servers: Lab) -> None:
    """As where the lab's rules are newer than the image of the job that asks."""

    def decide(pipeline: Pipeline) -> None:
        path = f"projects/44/requests/{pipeline.inputs['request_id']}"
        servers.write(path, {"kind": "postgres", "database": "pg_x", "user": "u"})
        servers.run("postgres", "--project", "44", "--request", pipeline.inputs["request_id"])
        pipeline.statuses = ["failed"]

    servers.gitlab.on_trigger = decide
    code, output = servers.run(*POSTGRES, env=servers.environment(44))
    assert (code, "'pg_x' is reserved by PostgreSQL" in output) == (2, True), output


def test_a_job_that_vault_refuses(servers: Lab) -> None:
    environment = servers.environment(44)
    environment["VAULT_ID_TOKEN"] = servers.gitlab.id_token(44, aud="elsewhere")
    code, output = servers.run(*POSTGRES, env=environment)
    assert (code, "Vault forbids: login with role project: " in output) == (3, True), output
    assert environment["VAULT_ID_TOKEN"] not in output


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, "<html>Sign in</html>", "is not Vault: login with role project"),
        (200, '{"auth": null}', "is not Vault: login"),
        (200, "[]", "is not Vault: login"),
        (204, "", "is not Vault: login"),
        (404, "<html>no such page</html>", "failed: login"),
        (502, "<html>bad gateway</html>", "failed: login"),
        (503, '{"errors": ["Vault is sealed"]}', "is sealed: login with role project; who admin"),
    ],
)
def test_what_answers_in_vaults_place_is_one_line(
    servers: Lab, status: int, body: str, words: str
) -> None:
    with serving() as server:
        server.answers = {"login": (status, body)}
        environment = {**servers.environment(44), "VAULT_ADDR": server.address}
        code, output = servers.run(*POSTGRES, env=environment)
    assert (code, words in output, output.count("\n")) == (1, True, 1), output


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "{}", '{"data": {"data": []}}', "[]"])
def test_a_page_in_place_of_a_record_is_one_line(servers: Lab, body: str) -> None:
    with serving() as server:
        server.answers = {"read": (200, body)}
        environment = {**servers.environment(44), "VAULT_ADDR": server.address}
        code, output = servers.run("env", "postgres/x", env=environment)
    assert (code, "is not Vault: read" in output, output.count("\n")) == (1, True, 1), output


def test_a_bad_name_fails_before_anything_is_touched(servers: Lab) -> None:
    words = ("request", "postgres", "--database", "a;b", "--user", "x" * 64)
    code, output = servers.run(*words, env=servers.environment(44))
    assert code == 2
    assert output.count("does not match") == 2
    assert servers.gitlab.requests == []


def test_a_project_reaches_only_its_own_paths(servers: Lab) -> None:
    servers.write("projects/44/postgres/own", {"DB_NAME": "own"})
    servers.write("projects/4/postgres/short", {"DB_NAME": "short"})
    probe = "import os; print(sorted(n for n in os.environ if n.startswith(('DB_', 'VAULT_'))))"
    command = ("--", sys.executable, "-c", probe)
    code, output = servers.run("run", "postgres/own", *command, env=servers.environment(44))
    assert (code, output) == (0, "['DB_NAME', 'VAULT_ADDR']\n"), output  # no token is passed on
    for project in (4, 43, 440, 1):
        environment = servers.environment(project, pipeline_source="push")
        for path in ("projects/44/postgres/own", "infra/provision/postgres", "infra/ci/deploy"):
            code, output = servers.run("run", path, *command, env=environment)
            assert (code, "Vault forbids: read" in output) == (3, True), (project, path, output)
    # The environment's word for the project counts for nothing.
    environment = servers.environment(43)
    environment["CI_PROJECT_ID"] = "44"
    code, output = servers.run("run", "postgres/own", *command, env=environment)
    assert code == 3, output
    code, output = servers.run(*POSTGRES, env=environment)
    assert code == 3, output


def test_env_quotes_for_the_shell_and_run_keeps_exit_codes(servers: Lab) -> None:
    servers.write("projects/44/x/odd", {"ODD": 'a\'b $(id) "c"'})
    code, output = servers.run("env", "x/odd", env=servers.environment(44))
    assert (code, output) == (0, "export ODD='a'\"'\"'b $(id) \"c\"'\n")
    code, _ = servers.run("run", "x/odd", "--", "sh", "-c", "exit 9", env=servers.environment(44))
    assert code == 9
    code, output = servers.run("run", "x/odd", "--", "no-such-cmd", env=servers.environment(44))
    assert (code, output) == (1, "provision: no-such-cmd: No such file or directory\n")


def test_a_record_cannot_name_what_is_no_variable(servers: Lab) -> None:
    servers.write("projects/44/x/wrong", {"a=b; c": "1"})
    code, output = servers.run("env", "x/wrong", env=servers.environment(44))
    assert (code, "not the name of a variable" in output) == (3, True)


@pytest.mark.parametrize("path", ["../43/x", "x/../../43", "/x", "x//y", "x y", ".", "x\n"])
def test_paths_stay_inside(servers: Lab, path: str) -> None:
    code, output = servers.run("env", path, env=servers.environment(44))
    assert code == 2, output
