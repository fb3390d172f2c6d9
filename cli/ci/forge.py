"""GitLab, as a pipeline of the lab's own project sees it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import gitlab
import requests
from gitlab.v4.objects import Project, ProjectMergeRequest, ProjectMergeRequestNote

from cli.ci.note import MARKER
from cli.lib.fault import Fault
from cli.lib.plan import Plan

PACKAGE = "reviewed-previews"
DRIFT = "datalab-drift"
TIMEOUT_S = 30.0


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (gitlab.GitlabError, requests.RequestException) as error:
        raise Fault(f"GitLab failed: {str(error)[:300]}") from None


class Forge:
    """The project that this job belongs to.

    `token` names the variable of a token with the scope `api`; without it the job's own token is
    used, which GitLab lets publish packages but write no notes (gitlab#464591).
    """

    def __init__(self, token: str | None = None) -> None:
        server = gitlab.Gitlab(
            required("CI_SERVER_URL"),
            ssl_verify=os.environ.get("DATALAB_CA_FILE") or True,
            retry_transient_errors=True,
            timeout=TIMEOUT_S,
            private_token=required(token) if token else None,
            job_token=None if token else required("CI_JOB_TOKEN"),
        )
        self._server = server
        self.project: Project = server.projects.get(int(required("CI_PROJECT_ID")), lazy=True)

    @cached_property
    def _me(self) -> int:
        """Whose the token is: anybody can write a note with our marker, an issue with our label."""
        return int(cast(dict[str, Any], self._server.http_get("/user"))["id"])

    def _note(self, request: ProjectMergeRequest) -> ProjectMergeRequestNote | None:
        for note in request.notes.list(iterator=True):
            if note.author["id"] == self._me and note.body.startswith(MARKER):
                return note
        return None

    def previewed(self, pipeline: int) -> list[str]:
        """The layers that the pipeline was to preview, whatever came of it."""
        with _explained():
            jobs = self.project.pipelines.get(pipeline, lazy=True).jobs.list(iterator=True)
            names = [job.name.partition(":") for job in jobs]
            return [layer for kind, _, layer in names if kind == "preview"]

    def post_note(self, number: int, body: str) -> str:
        """Write the merge request's note, or change it in place. Returns what was done."""
        with _explained():
            request = self.project.mergerequests.get(number, lazy=True)
            note = self._note(request)
            if note is None:
                request.notes.create({"body": body})
                return "posted"
            if note.body == body:
                return "unchanged"
            note.body = body
            note.save()
            return "changed"

    def open_requests(self, branch: str) -> Iterator[tuple[int, bool, str | None]]:
        """(number, whether it comes from a fork, our note) of each open one into `branch`."""
        with _explained():
            for request in self.project.mergerequests.list(
                state="opened", target_branch=branch, iterator=True
            ):
                note = self._note(request)
                fork = request.source_project_id != request.target_project_id
                yield request.iid, fork, note.body if note else None

    def keep(self, plan: Plan) -> None:
        """Keep a reviewed plan under the tree of files that it is about."""
        with _explained():
            self.project.generic_packages.upload(
                PACKAGE, plan.tree, f"{plan.layer}.json", data=plan.text().encode()
            )

    def reviewed(self, tree: str, layer: str) -> Plan | None:
        """The reviewed plan of a tree and layer; None if there was none."""
        with _explained():
            try:
                found: Any = self.project.generic_packages.download(PACKAGE, tree, f"{layer}.json")
            except gitlab.GitlabGetError as error:
                if error.response_code == requests.codes.not_found:
                    return None
                raise
        return Plan.parse(found.decode())

    def report_drift(self, findings: Sequence[str]) -> str:
        """Keep one open issue with `findings`; close it when there are none."""
        with _explained():
            known = self.project.issues.list(
                labels=[DRIFT], state="opened", author_id=self._me, iterator=True
            )
            issue = next(iter(known), None)
            if not findings:
                if issue is None:
                    return "no drift"
                issue.state_event = "close"
                issue.save()
                return f"no drift any more; closed issue {issue.iid}"
            text = "\n".join(["The lab differs from its state:", "", *findings])
            if issue is None:
                made = self.project.issues.create(
                    {"title": "Drift", "description": text, "labels": DRIFT}
                )
                return f"opened issue {made.iid}"
            if issue.description != text:
                issue.description = text
                issue.save()
            return f"issue {issue.iid} is up to date"


def required(name: str) -> str:
    """A variable of the job; Fault where it is missing."""
    value = os.environ.get(name)
    if not value:
        raise Fault(f"{name} is not set: this command runs in the lab's own pipelines", 2)
    return value
