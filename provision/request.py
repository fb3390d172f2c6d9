"""Ask the lab for something: the consumer's side of the protocol.

The request goes to Vault under the caller's own project, where only this project's jobs can write;
GitLab is told nothing but the two ids. So whoever starts the lab's pipeline, it acts only on what
the project itself wrote, and only for this project.
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

from provision.faults import Fault, TimedOut
from provision.specs import PROJECT, Spec, identifier
from provision.vault import Vault

GITLAB_PATH = "shared/provision"
FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0
TAIL_LINES = 40
# https://docs.gitlab.com/api/pipelines/: every other status is on its way to one of these.
# `manual` waits for a click that will not come.
ENDED = ("success", "failed", "canceled", "skipped", "manual")
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|section_(start|end):\d+:\S*|[^\n\x20-\x7e]")


def request(spec: Spec, timeout: float) -> None:
    """Return once the lab has done what `spec` asks; Fault with the reason if it did not."""
    project = identifier(PROJECT, "CI_PROJECT_ID", os.environ.get("CI_PROJECT_ID", ""))
    vault = Vault("project")
    request_id = uuid.uuid4().hex
    path = f"projects/{project}/requests/{request_id}"
    wanted = {name: str(value) for name, value in asdict(spec).items()}
    vault.write(path, {"kind": spec.kind, **wanted})
    try:
        try:
            _await_pipeline(spec.kind, project, request_id, vault, timeout)
        except (gitlab.GitlabError, requests.RequestException) as error:
            raise Fault(f"GitLab failed: {str(error)[:300]}") from error
    finally:
        vault.delete(path)


def _await_pipeline(kind: str, project: str, request_id: str, vault: Vault, timeout: float) -> None:
    lab = vault.require(GITLAB_PATH)
    server = gitlab.Gitlab(
        lab["url"],
        private_token=lab["read_token"],
        ssl_verify=os.environ.get("VAULT_CACERT") or True,
        retry_transient_errors=True,
        timeout=30,
    )
    home = server.projects.get(int(lab["project_id"]), lazy=True)
    inputs = {f"provision_{kind}": True, "request_project": project, "request_id": request_id}
    pipeline = home.trigger_pipeline(lab["ref"], lab["trigger_token"], inputs=inputs)
    print(f"the lab works on it in pipeline {pipeline.id}", flush=True)
    end, wait, status = time.monotonic() + timeout, FIRST_WAIT, ""
    while pipeline.status not in ENDED:
        if pipeline.status != status:
            status = pipeline.status
            print(f"pipeline {pipeline.id}: {status}", flush=True)
        if time.monotonic() + wait > end:
            with suppress(gitlab.GitlabError, requests.RequestException):  # it is TimedOut anyhow
                _print_logs(home, pipeline)
            raise TimedOut(f"pipeline {pipeline.id} is {status} after {timeout:g} s")
        time.sleep(wait)
        wait = min(wait * 1.5, LONGEST_WAIT)
        pipeline.refresh()
    if pipeline.status != "success":
        _print_logs(home, pipeline)
        raise Fault(f"pipeline {pipeline.id} of the lab is {pipeline.status}")


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
