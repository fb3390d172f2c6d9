"""GitLab's API. Sources of each reason: rehearsal/refusals.yaml."""

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from rehearsal.refusals import RefusedError
from rehearsal.rules import Step, check, outputs, renews, rule
from rehearsal.world import World

GROUP = "gitlab:index/group:Group"
PROJECT = "gitlab:index/project:Project"
INSTANCE_VARIABLE = "gitlab:index/instanceVariable:InstanceVariable"
BRANCH = "gitlab:index/branchProtection:BranchProtection"
SCHEDULE = "gitlab:index/pipelineSchedule:PipelineSchedule"
TRIGGER = "gitlab:index/pipelineTrigger:PipelineTrigger"
RUNNER = "gitlab:index/userRunner:UserRunner"
PROJECT_TOKEN = "gitlab:index/projectAccessToken:ProjectAccessToken"  # noqa: S105 - a type

# GitLab's own patterns: app/models/concerns/ci/maskable.rb.
MASKED = re.compile(r"[a-zA-Z0-9_+=/@:.~-]{8,}")
MASKED_RAW = re.compile(r"\S{8,}")
LONGEST_TOKEN = timedelta(days=365)
RUNNER_OWNERS = {"group_type": "groupId", "project_type": "projectId"}


def today(world: World) -> date:
    """The server's date."""
    return datetime.now(UTC).date() + timedelta(days=world.days)


@rule(INSTANCE_VARIABLE)
def value_can_be_masked(step: Step) -> None:
    pattern = MASKED_RAW if step.inputs.get("raw") else MASKED
    if step.inputs.get("masked") and not pattern.fullmatch(str(step.inputs["value"])):
        raise RefusedError("gitlab-masked", key=step.inputs["key"])


@rule(PROJECT_TOKEN)
def token_ends_in_time(step: Step) -> None:
    ends = step.inputs.get("expiresAt")
    if ends is None:
        return
    try:
        left = date.fromisoformat(str(ends)) - today(step.world)
    except ValueError:
        raise RefusedError("gitlab-token-date", date=ends) from None
    if left > LONGEST_TOKEN:
        raise RefusedError("gitlab-token-expiry", last=today(step.world) + LONGEST_TOKEN)
    if left <= timedelta():
        raise RefusedError("gitlab-token-past", date=ends)


@check(PROJECT_TOKEN)
def token_is_whole(inputs: Mapping[str, Any]) -> None:
    if ("expiresAt" in inputs) == ("rotationConfiguration" in inputs):
        raise RefusedError("gitlab-token-one-of", at="expiresAt")
    if inputs.get("scopes") == []:
        raise RefusedError("gitlab-token-no-scope", at="scopes")


@rule(RUNNER)
def runner_has_its_owner(step: Step) -> None:
    kind = step.inputs["runnerType"]
    for owner in ("groupId", "projectId"):
        if (owner in step.inputs) != (owner == RUNNER_OWNERS.get(kind)):
            raise RefusedError("gitlab-runner-owner", type=kind, owner=owner)


def _token(prefix: str) -> str:
    return f"{prefix}-{secrets.token_urlsafe(20)}"


@outputs(PROJECT)
def project_outputs(step: Step) -> dict[str, Any]:
    owner = str(step.inputs.get("namespaceId"))
    groups = (group.get("fullPath") for group in step.others(GROUP) if group.id == owner)
    path = step.inputs.get("path") or step.inputs.get("name")
    return {"path": path, "pathWithNamespace": f"{next(groups, 'root')}/{path}"}


@outputs(TRIGGER)
def trigger_outputs(step: Step) -> dict[str, Any]:
    return {} if step.old else {"token": _token("glptt")}


@outputs(RUNNER)
def runner_outputs(step: Step) -> dict[str, Any]:
    return {} if step.old else {"token": _token("glrt")}


@renews(PROJECT_TOKEN)
def token_is_due(world: World, known: Mapping[str, Any], inputs: Mapping[str, Any]) -> set[str]:
    """A token is rotated by the first `up` in the last days of its life, or of another period."""
    wanted = inputs.get("rotationConfiguration")
    if not isinstance(wanted, Mapping) or "expiresAt" not in known:
        return set()
    ends = date.fromisoformat(str(known["expiresAt"]))
    due = ends - timedelta(days=wanted["rotateBeforeDays"]) <= today(world)
    return {"expiresAt"} if due else set()


@outputs(PROJECT_TOKEN)
def token_outputs(step: Step) -> dict[str, Any]:
    """A rotation makes another token, of another id; one of a changed period ends as before."""
    inputs, wanted = step.inputs, step.inputs.get("rotationConfiguration") or {}
    ends = inputs.get("expiresAt")
    if ends is None:
        ends = str(today(step.world) + timedelta(days=wanted.get("expirationDays", 365)))
    made: dict[str, Any] = {"expiresAt": ends}
    if step.old is not None:
        known = {**step.old.inputs, **step.old.outputs}
        before = (step.old.inputs.get("rotationConfiguration") or {}).get("expirationDays")
        if not token_is_due(step.world, known, inputs):
            if "expiresAt" not in inputs:
                made["expiresAt"] = known["expiresAt"]
            if made["expiresAt"] == known["expiresAt"] and before == wanted.get("expirationDays"):
                return {}
        made["id"] = f"{inputs['project']}:{step.world.next_serial()}"
    return {**made, "token": _token("glpat")}
