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
