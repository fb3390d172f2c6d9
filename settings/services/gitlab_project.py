"""The settings of this repository's own home in the lab's GitLab."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from settings import cron
from settings.base import Model, Name
from settings.defaults import ByTarget
from settings.sections import Fault
from settings.service import Service

# GitLab's lib/gitlab/path_regex.rb: TOP_LEVEL_ROUTES, of former versions too, and
# PROJECT_WILDCARD_ROUTES; without those that the pattern below refuses.
_GROUPS = frozenset(
    (
        *("abuse_reports", "admin", "api", "assets", "autocomplete", "ci", "dashboard", "explore"),
        *("files", "groups", "health_check", "help", "import", "invites", "jwt", "koding"),
        *("login", "notification_settings", "oauth", "profile", "projects", "public", "search"),
        *("sent_notifications", "sitemap", "snippets", "unsubscribes", "uploads", "users", "v2"),
    )
)
_PROJECTS = frozenset(
    (
        *("badges", "blame", "blob", "builds", "commits", "create", "create_dir", "edit"),
        *("files", "find_file", "new", "preview", "raw", "refs", "tree", "update", "wikis"),
    )
)


def _not_reserved(path: str, reserved: frozenset[str]) -> str:
    if path in reserved:
        raise ValueError(f"{path} is a page of GitLab's own; choose another")
    return path


def _group(path: str) -> str:
    return _not_reserved(path, _GROUPS | _PROJECTS)


def _project(path: str) -> str:
    return _not_reserved(path, _PROJECTS)


# What an image's name may have between two slashes as well (distribution/reference, regexp.go): no
# two marks together, none at an end.
_Path = Annotated[
    str,
    Field(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$", examples=["datalab"]),
    Field(min_length=2, max_length=63),
]
GroupPath = Annotated[_Path, AfterValidator(_group)]
ProjectPath = Annotated[_Path, AfterValidator(_project)]
# GitLab's Ci::PipelineSchedule (Limitable) and its default plan's ci_pipeline_schedules.
MOST_SCHEDULES = 10
# GitLab's Ci::JobToken::GroupScopeLink takes 200; the lab's own group is one of them.
MOST_PULLING_GROUPS = 199
# A five-field cron line; settings/cron.py looks at the values.
Cron = Annotated[
    str,
    Field(pattern=r"^([0-9a-zA-Z*,/-]+ ){4}[0-9a-zA-Z*,/-]+$", examples=["17 3 * * *"]),
    Field(max_length=255),
]
# The switches of .gitlab-ci.yml (its spec:inputs of type boolean) that start jobs by the clock: the
# provisioners act on a request, and a schedule names none.
Workflow = Literal[
    "plan",
    "deploy",
    "images",
    "drift",
    "force_apps_deploy",
]


class Schedule(Model):
    """A pipeline that GitLab starts by the clock."""

    cron: Cron = Field(description="When, in common.timezone: minute hour day month weekday")
    workflow: Workflow = Field(description="The input of .gitlab-ci.yml that it sets to true")


SCHEDULES = {
    # Tokens are renewed: what was reviewed and nothing else.
    "renewal": {"cron": "47 2 * * *", "workflow": "deploy"},
    "drift": {"cron": "17 3 * * *", "workflow": "drift"},
    "images": {"cron": "41 4 * * 0", "workflow": "images"},
}


class GitLabProject(Model):
    """This repository's own home in the lab's GitLab."""

    group: GroupPath = Field(default="datalab", description="Path of the group")
    project: ProjectPath = Field(default="datalab", description="Path of the project in it")
    schedules: Annotated[dict[Name, Schedule], ByTarget(proxmox=SCHEDULES)] = Field(
        default={},
        max_length=MOST_SCHEDULES,
        description="What GitLab starts by the clock, by name",
    )
    pulling_groups: tuple[Annotated[int, Field(ge=1, le=2**63 - 1)], ...] = Field(
        default=(),
        max_length=MOST_PULLING_GROUPS,
        description="Ids of further groups whose jobs may pull the lab's images with their token",
    )
    # GitLab refuses an expiry over a year away (reference gitlab, section 3).
    token_days: int = Field(
        default=180,
        ge=30,
        le=365,
        description="Life of a token; a deployment renews its last third",
    )


def schedules(project: GitLabProject) -> Iterator[Fault]:
    """GitLab takes the cron lines; it would refuse one in the middle of an `up`."""
    for name, schedule in project.schedules.items():
        if text := cron.fault(schedule.cron):
            yield f"services.gitlab_project.schedules.{name}.cron", text


SERVICE = Service(
    key="services.gitlab_project",
    settings=GitLabProject,
    order=80,
    rules=(schedules,),
    part_of="platform.gitlab",
)
