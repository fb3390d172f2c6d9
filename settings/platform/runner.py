"""The settings of GitLab's runner."""

from pydantic import Field

from settings.base import Container, Model
from settings.service import Service


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
    job: Container = Field(default=Container(memory_mib=512), description="What one job may use")
    large_job: Container = Field(
        default=Container(memory_mib=1600),
        description="What the one job with the tag datalab-large may use, such as the lab's own",
    )
    provision_job: Container = Field(
        default=Container(memory_mib=192),
        description="What the one job with the tag datalab-provision may use",
    )
    container: Container | None = Field(default=None, description="The runner itself, in `dev`")

    @property
    def slots(self) -> dict[str, int]:
        """Setting of a job's size -> how many such jobs run at a time."""
        return {"job": self.concurrent - 2, "large_job": 1, "provision_job": 1}


SERVICE = Service(
    key="platform.runner",
    settings=Runner,
    order=30,
    default=Runner(),
)
