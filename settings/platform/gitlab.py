"""GitLab's settings and declaration."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from settings.base import Container, Model, Port
from settings.defaults import ByTarget
from settings.machines import Vm
from settings.sections import Fault
from settings.service import Listener, Login, Service, secrets
from settings.target import DockerTarget

GITLAB_CORES, GITLAB_MIB = 4, 8192  # with less it froze (reference budget, section 4)


class GitLab(Model):
    """GitLab with its container registry."""

    enabled: bool = Field(default=True, description="Whether there is one; it needs 8 GiB")
    port: Annotated[Port, ByTarget(docker=8929)] = Field(
        default=443, description="Web interface and API"
    )
    ssh_port: Port = Field(default=2222, description="Git over SSH, where GitLab is a container")
    registry_port: Port = Field(default=5050, description="Container registry")
    # On the machine and in the store, where they are old versions after that (noncurrent_days).
    # S3's PutBucketLifecycleConfiguration takes no less than one day; 3,650 are ten years.
    backup_days: int = Field(default=14, ge=1, le=3650, description="How long backups are kept")
    container: Annotated[Container | None, ByTarget(docker={"memory_mib": 8192, "cpus": 4})] = None
    machine: Vm | None = None


def minimum(gitlab: GitLab) -> Iterator[Fault]:
    """GitLab has at least 4 cores and 8192 MiB, none of which may balloon away."""
    key, machine, container = "platform.gitlab", gitlab.machine, gitlab.container
    if not gitlab.enabled:
        return
    for name, home in (("machine", machine), ("container", container)):
        if home is not None and home.memory_mib < GITLAB_MIB:
            text = f"{home.memory_mib} is below GitLab's minimum of {GITLAB_MIB}"
            yield f"{key}.{name}.memory_mib", text
    if machine and machine.cores < GITLAB_CORES:
        text = f"{machine.cores} is below GitLab's minimum of {GITLAB_CORES}"
        yield f"{key}.machine.cores", text
    if container and container.cpus is not None and container.cpus < GITLAB_CORES:
        text = f"{container.cpus:g} is below GitLab's minimum of {GITLAB_CORES}"
        yield f"{key}.container.cpus", text
    if machine and machine.floor_mib is not None and machine.floor_mib < machine.memory_mib:
        yield f"{key}.machine.floor_mib", "GitLab freezes when its memory balloons away; remove it"


def minimum_in_dev(target: DockerTarget, gitlab: GitLab) -> Iterator[Fault]:
    """On target `docker` the machine has the cores that GitLab needs."""
    if gitlab.enabled and target.cores < GITLAB_CORES:
        yield "common.target.cores", f"{target.cores} is below GitLab's minimum of {GITLAB_CORES}"


def not_from_packages(target: DockerTarget, gitlab: GitLab) -> Iterator[Fault]:
    """No registry of packages has GitLab, so where images are made from packages there is none."""
    if gitlab.enabled and target.images == "packages":
        text = "must be false where common.target.images is packages: GitLab is in no registry"
        yield "platform.gitlab.enabled", f"{text} of packages"


SERVICE = Service(
    key="platform.gitlab",
    settings=GitLab,
    order=20,
    default=GitLab(enabled=False),
    description="Without this section there is no GitLab",
    listeners=(
        Listener(
            name="gitlab",
            credential="a user with a password, or a token",
            scheme="",
            exposure="machine",
            # It writes its own address into links, clones and tokens: one name inside and outside.
            in_dev="name",
            label="GitLab",
            certificate=True,
        ),
        Listener(
            name="registry",
            credential="a token of GitLab's, for projects that its user may see",
            scheme="",
            exposure="machine",
            port_setting="registry_port",
            in_dev="localhost",  # where alone an engine takes a registry without TLS
        ),
    ),
    secrets=secrets("gitlab-root", "gitlab-token"),
    login=Login(secret="gitlab-root", listener="gitlab", user="root"),  # noqa: S106 - a name
    # GitLab's documentation, "Package defaults": the ports that its parts take themselves.
    own_ports={
        5000: "its registry",
        8060: "its nginx's status",
        8080: "Puma",
        8082: "Sidekiq's metrics",
        8092: "Sidekiq's health",
        9168: "GitLab's exporter",
        9229: "Workhorse's metrics",
        9236: "Gitaly's metrics",
    },
    rules=(minimum, minimum_in_dev, not_from_packages),
)
