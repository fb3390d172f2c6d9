"""Ask the lab for something: the consumer's side of the protocol.

The request goes to Vault under the caller's own project, where only this project's jobs can write;
GitLab is told nothing but the two ids. The lab's pipeline, started by anyone, acts only
on what the project itself wrote, and only for this project.
"""

import os
import re
import time
import uuid
from contextlib import suppress
from dataclasses import asdict

import gitlab
import requests
from gitlab.v4.objects import Project, ProjectPipeline

from provision.faults import BY_CODE, Fault, TimedOut
from provision.specs import PROJECT, Spec, identifier
from provision.vault import Record, Vault

GITLAB_PATH = "shared/provision"
FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0
TAIL_LINES = 40
# How long a request stays that nobody waits for any more, as its pipeline may be pending for long.
KEPT = "24h"
# https://docs.gitlab.com/api/pipelines/: every other status is on its way to one of these.
# `manual` waits for a click that will not come.
ENDED = ("success", "failed", "canceled", "skipped", "manual")
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|section_(start|end):\d+:\S*|[^\n\x20-\x7e]")


class PipelineFailed(Fault):
    """The lab's pipeline ended otherwise than well."""


def request(spec: Spec, timeout: float) -> None:
    """Return once the lab has done what `spec` asks; Fault with the reason if it did not."""
    project = identifier(PROJECT, "CI_PROJECT_ID", os.environ.get("CI_PROJECT_ID", ""))
    vault = Vault("project")
    request_id = uuid.uuid4().hex
    path = f"projects/{project}/requests/{request_id}"
    wanted = {name: str(value) for name, value in asdict(spec).items()}
    vault.expire(path, KEPT)
    kept = False
    try:
        vault.write(path, {"kind": spec.kind, **wanted})
        _await_pipeline(spec.kind, project, request_id, vault, timeout)
    except PipelineFailed as fault:
        vault.login()
        outcome = vault.read(path) or {}
        if "code" not in outcome:
            raise
        kind = BY_CODE.get(outcome["code"], Fault)
        raise kind(f"{fault}\n{outcome.get('reason', '')}") from fault
    except TimedOut:
        kept = True  # the lab may still come to it
        raise
    except (gitlab.GitlabError, requests.RequestException) as error:
        raise Fault(f"GitLab failed: {str(error)[:300]}") from error
    finally:
        if not kept:
            vault.delete(path)


def _await_pipeline(kind: str, project: str, request_id: str, vault: Vault, timeout: float) -> None:
    lab = vault.require(GITLAB_PATH)
    inputs = {f"provision_{kind}": True, "request_project": project, "request_id": request_id}
    # Without the other token, by which GitLab would take this for one who may only read.
    started = _project(lab).trigger_pipeline(lab["ref"], lab["trigger_token"], inputs=inputs)
    print(f"the lab works on it in pipeline {started.id}", flush=True)
    home = _project(lab, private_token=lab["read_token"])
    pipeline = home.pipelines.get(started.id, lazy=True)
    end, wait, status, told = time.monotonic() + timeout, FIRST_WAIT, started.status, ""
    while status not in ENDED:
        if status != told:
            told = status
            print(f"pipeline {pipeline.id}: {status}", flush=True)
        if time.monotonic() + wait > end:
            with suppress(gitlab.GitlabError, requests.RequestException):  # it is TimedOut anyhow
                _print_logs(home, pipeline)
            raise TimedOut(f"pipeline {pipeline.id} is {status} after {timeout:g} s")
        time.sleep(wait)
        wait = min(wait * 1.5, LONGEST_WAIT)
        # Not refresh(), which takes a page for an answer.
        status = home.pipelines.get(pipeline.id).status
    if status != "success":
        _print_logs(home, pipeline)
        raise PipelineFailed(f"pipeline {pipeline.id} of the lab is {status}")


def _project(lab: Record, private_token: str | None = None) -> Project:
    server = gitlab.Gitlab(
        lab["url"],
        private_token=private_token,
        ssl_verify=os.environ.get("VAULT_CACERT") or True,
        retry_transient_errors=True,
        timeout=30,
    )
    return server.projects.get(int(lab["project_id"]), lazy=True)


def _print_logs(home: Project, pipeline: ProjectPipeline) -> None:
    """The end of each job's log. It is another's text: control characters stay out of ours."""
    for job in pipeline.jobs.list(get_all=True):
        if job.status == "success":
            continue
        print(f"--- {job.name}: {job.status} {getattr(job, 'failure_reason', None) or ''}")
        trace = home.jobs.get(job.id, lazy=True).trace()
        text = CONTROL.sub("", trace.decode(errors="replace").replace("\r", "\n"))
        for line in text.splitlines()[-TAIL_LINES:]:
            print(f"    {line[:500]}")
