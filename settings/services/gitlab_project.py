"""The settings of this repository's own home in the lab's GitLab."""

from typing import Annotated, Literal

from pydantic import Field

from settings.base import Model, Name
from settings.service import Service

# GitLab's rule for the path of a group or project, in the part of it that is safe everywhere.
GitLabPath = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{1,62}$", examples=["datalab"])]
# A five-field cron line; settings/rules.py looks at the values.
Cron = Annotated[
    str, Field(pattern=r"^([0-9a-zA-Z*,/-]+ ){4}[0-9a-zA-Z*,/-]+$", examples=["17 3 * * *"])
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


class GitLabProject(Model):
    """This repository's own home in the lab's GitLab."""

    group: GitLabPath = Field(default="datalab", description="Path of the group")
    project: GitLabPath = Field(default="datalab", description="Path of the project in it")
    schedules: dict[Name, Schedule] = Field(
        default={}, description="What GitLab starts by the clock, by name"
    )
    pulling_groups: tuple[Annotated[int, Field(ge=1, le=2**63 - 1)], ...] = Field(
        default=(),
        description="Ids of further groups whose jobs may pull the lab's images with their token",
    )
    # GitLab refuses an expiry over a year away (reference gitlab, section 3).
    token_days: int = Field(
        default=180,
        ge=30,
        le=365,
        description="Life of a token; a deployment renews its last third",
    )


SERVICE = Service(
    key="services.gitlab_project",
    settings=GitLabProject,
    order=80,
    default=GitLabProject(),
)
