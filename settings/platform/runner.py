"""The settings of GitLab's runner."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from settings import images, pins
from settings.base import Container, Model
from settings.defaults import ByTarget, always
from settings.platform.gitlab import GitLab
from settings.recipe import Recipe
from settings.sections import Fault
from settings.service import Service

CHECKSUM, PLUGINS = "PULUMI_SHA256", "PULUMI_PLUGINS"  # build arguments of the deployer

# What CI runs for the lab itself: mypy 0.9 GiB next to pytest, a rehearsal up to 1.5 GiB.
LARGE_JOB_MIB = 1536


class Runner(Model):
    """GitLab's runner; its jobs run on the Docker host.

    Large jobs and provisioners have a slot each that no other job can take: a job that waits for a
    provisioner holds one of the others.
    """

    concurrent: int = Field(
        default=4,
        ge=3,
        le=64,
        description="Jobs at a time, among them one large job and one provisioner",
    )
    job: Annotated[Container, ByTarget(docker={"memory_mib": 512}, proxmox={"memory_mib": 768})] = (
        Field(description="What one job may use")
    )
    large_job: Annotated[Container, always({"memory_mib": 1600})] = Field(
        description="What the one job with the tag datalab-large may use, such as the lab's own",
    )
    provision_job: Annotated[Container, always({"memory_mib": 192})] = Field(
        description="What the one job with the tag datalab-provision may use",
    )
    service: Annotated[Container, always({"memory_mib": 512})] = Field(
        description="What each of a job's `services:` may use"
    )
    # None in `dev`: no slice bounds them all there, and each would be in the services' network.
    services_limit: Annotated[int, ByTarget(docker=0)] = Field(
        default=4, ge=0, le=16, description="How many `services:` a job may have"
    )
    container: Annotated[Container | None, ByTarget(docker={"memory_mib": 128})] = Field(
        default=None, description="The runner itself, in `dev`"
    )

    @property
    def slots(self) -> dict[str, int]:
        """Setting of a job's size -> how many such jobs run at a time."""
        return {"job": self.concurrent - 2, "large_job": 1, "provision_job": 1}

    @property
    def jobs_mib(self) -> int:
        """What all jobs may use together: in `lab` with their `services:`, in a slice of theirs."""
        return sum(getattr(self, size).memory_mib * n for size, n in self.slots.items())


def runner() -> Recipe:
    """What the image of every project's jobs is built from."""
    return Recipe(
        context="provision",
        dockerfile="images/runner/Dockerfile",
        base={"UBUNTU_IMAGE": images.image("ubuntu")},
    )


def downloads(recipe: Recipe) -> Mapping[str, str]:
    """Entry -> SHA-256 of what the recipe's Dockerfile downloads; empty where it is not known."""
    found = {}
    if CHECKSUM in recipe.base:
        found["downloads.pulumi"] = recipe.base[CHECKSUM]
    for plugin in recipe.base.get(PLUGINS, "").split():
        name, _, _, checksum = plugin.split("@")
        found[f"plugins.{name}"] = checksum
    return found


def plugins() -> str:
    """NAME@VERSION@URL@SHA256 of every provider's plugin, by blanks; the sum may be empty."""
    sums = images.sums()
    return " ".join(
        f"{plugin.name}@{plugin.version}@{plugin.url}@{sums.get(plugin.url, '')}"
        for plugin in pins.providers()
    )


def deployer() -> Recipe:
    """What the image of this project's own jobs is built from."""
    pulumi_ = images.download("pulumi")
    return Recipe(
        context=".",
        parts=("provision", "requirements.txt"),
        dockerfile="images/deployer/Dockerfile",
        base={
            "UBUNTU_IMAGE": images.image("ubuntu"),
            "PULUMI_URL": pulumi_.url,
            CHECKSUM: pulumi_.sha256,
            PLUGINS: plugins(),
        },
    )


def large_jobs(gitlab: GitLab, runner: Runner) -> Iterator[Fault]:
    """The lab's own jobs have the memory that they need; without it no merge request passes."""
    memory = runner.large_job.memory_mib
    if gitlab.enabled and memory < LARGE_JOB_MIB:
        text = f"{memory} is below {LARGE_JOB_MIB}, what the lab's own jobs need"
        yield "platform.runner.large_job.memory_mib", text


SERVICE = Service(
    key="platform.runner",
    settings=Runner,
    order=30,
    image="gitlab-runner",
    part_of="platform.gitlab",
    # What jobs run in: the runner image those of every project, the deployer this one's.
    images={"runner": runner, "deployer": deployer},
    rules=(large_jobs,),
)
