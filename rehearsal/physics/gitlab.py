"""GitLab's API. Sources of each reason: rehearsal/refusals.yaml."""

import re
import secrets
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from rehearsal.physics import Step, check, outputs, renews, rule
from rehearsal.refusals import RefusedError
from rehearsal.wire import Unknown
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
KEY = re.compile(r"[a-zA-Z0-9_]{1,255}")
PATH = re.compile(r"[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9_-])?")
LONGEST_TOKEN = timedelta(days=365)
# Of the provider, which knows fewer than the API: resources/project_access_token.md.
SCOPES = frozenset(
    {"ai_features", "api", "create_runner", "k8s_proxy", "manage_runner", "read_api"}
    | {"read_observability", "read_registry", "read_repository", "self_rotate"}
    | {"write_observability", "write_registry", "write_repository"}
)
# minute, hour, day of month, month, day of week: what Fugit, GitLab's parser, takes.
CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = frozenset(
    {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
    | {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)
RUNNER_OWNERS = {"instance_type": None, "group_type": "groupId", "project_type": "projectId"}


def today(world: World) -> date:
    """The server's date."""
    return datetime.now(UTC).date() + timedelta(days=world.days)


@rule(INSTANCE_VARIABLE)
def variable_is_valid(step: Step) -> None:
    inputs = step.inputs
    if not KEY.fullmatch(str(inputs["key"])):
        raise RefusedError("gitlab-variable-key", key=inputs["key"])
    value = str(inputs["value"])
    if inputs.get("masked"):
        pattern = MASKED_RAW if inputs.get("raw") else MASKED
        if not pattern.fullmatch(value):
            raise RefusedError("gitlab-masked", key=inputs["key"])


@rule(GROUP, PROJECT)
def path_is_valid(step: Step) -> None:
    path = str(step.inputs.get("path") or step.inputs.get("name"))
    if not PATH.fullmatch(path) or path.endswith((".git", ".atom")):
        raise RefusedError("gitlab-path", path=path)


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
    scopes = inputs.get("scopes")
    if isinstance(scopes, Unknown) or scopes is None:
        return
    if not scopes:
        raise RefusedError("gitlab-token-no-scope", at="scopes")
    for scope in scopes:
        if not isinstance(scope, Unknown) and scope not in SCOPES:
            known = ", ".join(sorted(SCOPES))
            raise RefusedError("gitlab-token-scope", at="scopes", scope=scope, known=known)


@rule(SCHEDULE)
def schedule_is_valid(step: Step) -> None:
    cron = str(step.inputs["cron"])
    if not cron_is_valid(cron):
        raise RefusedError("gitlab-cron", cron=cron)
    zone = str(step.inputs.get("cronTimezone", "UTC"))
    if zone not in zoneinfo.available_timezones():
        raise RefusedError("gitlab-timezone", zone=zone)
    if not str(step.inputs["ref"]).startswith(("refs/heads/", "refs/tags/")):
        raise RefusedError("gitlab-ref", ref=step.inputs["ref"])


def cron_is_valid(text: str) -> bool:
    """Whether a line has five fields, each a list of numbers, names, ranges or steps in range."""
    fields = text.lower().split()
    return len(fields) == len(CRON) and all(
        _cron_item(item, *limits)
        for field, limits in zip(fields, CRON, strict=True)
        for item in field.split(",")
    )


def _cron_item(item: str, low: int, high: int) -> bool:
    span, slash, step = item.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        return False
    if span == "*":
        return True
    return all(
        word in NAMES or (word.isdecimal() and low <= int(word) <= high)
        for word in span.split("-", 1)
    )


@rule(RUNNER)
def runner_has_its_owner(step: Step) -> None:
    kind = step.inputs["runnerType"]
    if kind not in RUNNER_OWNERS:
        raise RefusedError("gitlab-runner-type", type=kind)
    for owner in ("groupId", "projectId"):
        if (owner in step.inputs) != (owner == RUNNER_OWNERS[kind]):
            raise RefusedError("gitlab-runner-owner", type=kind, owner=owner)


@check(RUNNER)
def runner_time_is_enough(inputs: Mapping[str, Any]) -> None:
    seconds = inputs.get("maximumTimeout")
    if isinstance(seconds, int) and seconds < 600:
        raise RefusedError("gitlab-runner-timeout", at="maximumTimeout")


@check(BRANCH)
def levels_are_words(inputs: Mapping[str, Any]) -> None:
    for name in ("pushAccessLevel", "mergeAccessLevel"):
        level = inputs.get(name)
        if isinstance(level, Unknown) or level is None:
            continue
        if level not in ("no one", "developer", "maintainer", "admin"):
            raise RefusedError("gitlab-access-level", at=name, level=level)


def _token(prefix: str) -> str:
    return f"{prefix}-{secrets.token_urlsafe(20)}"


def _own(step: Step) -> int:
    """The number that the API gives; what is there keeps its own."""
    if step.old is not None:
        return int(step.old.id.rpartition(":")[2])
    return step.world.serial  # of the id just made


@outputs(GROUP)
def group_outputs(step: Step) -> dict[str, Any]:
    path = step.inputs.get("path") or step.inputs.get("name")
    return {
        "fullName": step.inputs.get("name"),
        "fullPath": path,
        "runnersToken": _token("GR1348941"),
        "webUrl": f"{_web(step)}/groups/{path}",
    }


@outputs(PROJECT)
def project_outputs(step: Step) -> dict[str, Any]:
    namespace = next(
        (
            group.get("fullPath")
            for group in step.others(GROUP)
            if group.id == str(step.inputs.get("namespaceId"))
        ),
        "root",
    )
    path = step.inputs.get("path") or step.inputs.get("name")
    whole = f"{namespace}/{path}"
    return {
        "path": path,
        "pathWithNamespace": whole,
        "webUrl": f"{_web(step)}/{whole}",
        "httpUrlToRepo": f"{_web(step)}/{whole}.git",
        "sshUrlToRepo": f"git@{_web(step).partition('://')[2]}:{whole}.git",
        "defaultBranch": step.inputs.get("defaultBranch", "main"),
        "emptyRepo": not step.inputs.get("initializeWithReadme", False),
        "runnersToken": _token("GR1348941"),
    }


def _web(step: Step) -> str:
    base = str(step.config.get("baseUrl", "https://gitlab.invalid/api/v4"))
    return base.rstrip("/").removesuffix("/api/v4")


@outputs(SCHEDULE)
def schedule_outputs(step: Step) -> dict[str, Any]:
    return {"owner": 1, "pipelineScheduleId": _own(step)}


@outputs(TRIGGER)
def trigger_outputs(step: Step) -> dict[str, Any]:
    if step.old is not None:
        return {}
    return {"pipelineTriggerId": _own(step), "token": _token("glptt")}


@outputs(BRANCH)
def branch_outputs(step: Step) -> dict[str, Any]:
    return {"branchProtectionId": step.world.serial + 1}


@outputs(RUNNER)
def runner_outputs(step: Step) -> dict[str, Any]:
    return {} if step.old is not None else {"token": _token("glrt")}


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
    made: dict[str, Any] = {"active": True, "revoked": False, "expiresAt": ends}
    if step.old is not None:
        known = {**step.old.inputs, **step.old.outputs}
        before = (step.old.inputs.get("rotationConfiguration") or {}).get("expirationDays")
        if not token_is_due(step.world, known, inputs):
            if "expiresAt" not in inputs:
                made["expiresAt"] = known["expiresAt"]
            if made["expiresAt"] == known["expiresAt"] and before == wanted.get("expirationDays"):
                return {}
        made["id"] = f"{inputs['project']}:{step.world.next_serial()}"
    return {
        **made,
        "createdAt": datetime.now(UTC).isoformat(),
        "token": _token("glpat"),
        "userId": step.old.get("userId") if step.old else _own(step),
    }
