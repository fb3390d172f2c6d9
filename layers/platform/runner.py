"""GitLab's runner, whose jobs run on the Docker host."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_gitlab as gitlab

from places import Container, File, Health, Place, Role, Workload
from places.templates import render
from settings import docker_engine, images
from settings.platform.runner import Runner as RunnerSettings

FILES = Path(__file__).parent / "files" / "gitlab"
# Setting of a job's size -> its runner's name, which is the tag that its jobs have; `job` is for
# all without a tag. .gitlab-ci.yml and .ci/provisioner.yml say the tags again.
NAMES = {"job": "datalab", "large_job": "datalab-large", "provision_job": "datalab-provision"}


@dataclass(frozen=True, kw_only=True)
class RunnerArgs:
    """The runner's settings, and whom it talks to.

    docker_host is empty for the engine of the machine at hand; certificate and key are the
    client's for any other (PEM). environment are variables of every job, sources where its apt and
    apk find their archives (settings.mirrors.sources), hosts the lab's names and addresses. Jobs
    join `network`; where it is empty each has its own, with the services it names.
    """

    settings: RunnerSettings
    place: Place
    gitlab_url: str
    network: str
    docker_host: pulumi.Input[str]
    ca: pulumi.Input[str]
    certificate: pulumi.Input[str]
    key: pulumi.Input[str]
    environment: Mapping[str, str]
    sources: Mapping[str, str]
    hosts: Mapping[str, str]


class Runner(pulumi.ComponentResource):
    """The runner: made in GitLab once for each size of job, and started with those tokens."""

    def __init__(self, name: str, args: RunnerArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:platform:Runner", name, None, opts)
        config = render(
            FILES / "config.toml.j2",
            {
                "url": args.gitlab_url,
                "runners": [
                    self._registered(name, args, size, limit)
                    for size, limit in args.settings.slots.items()
                ],
                "image": images.image("ubuntu"),
                "network": args.network,
                "docker_host": args.docker_host,
                "environment": dict(args.environment),
                "sources": dict(args.sources),
                "hosts": dict(args.hosts),
            },
        )
        workload = Workload(
            container=_container(args, config),
            machine=None,
            roles=[_role(args, config)],
            on="gitlab",
        )
        args.place.run(self, name, workload)
        self.register_outputs({})

    def _registered(
        self, name: str, args: RunnerArgs, size: str, limit: int
    ) -> dict[str, pulumi.Input[object]]:
        """Make the runner of the jobs of `size` in GitLab; it as config.toml.j2 wants it."""
        tag = None if size == "job" else NAMES[size]
        made = gitlab.UserRunner(
            f"{name}-{size.partition('_')[0]}-registration" if tag else f"{name}-registration",
            runner_type="instance_type",
            description=NAMES[size],
            untagged=tag is None,
            tag_lists=[tag] if tag else None,
            opts=pulumi.ResourceOptions(parent=self),
        )
        may_use = getattr(args.settings, size)
        return {
            "name": NAMES[size],
            "token": made.token,
            "limit": limit,
            "memory_mib": may_use.memory_mib,
            "cpus": may_use.cpus,
        }


def _container(args: RunnerArgs, config: pulumi.Output[str]) -> Container | None:
    size = args.settings.container
    if size is None:
        return None
    return Container(
        image=images.image("gitlab-runner"),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        files={
            "/etc/gitlab-runner/config.toml": File(content=config, mode="0600"),
            "/etc/gitlab-runner/certs/ca.crt": File(content=args.ca),
        },
        # Its jobs are containers beside it; whoever may run jobs here is root on this machine.
        host_paths={docker_engine.mounted_socket(): docker_engine.SOCKET},
        health=Health(test=("CMD", "gitlab-runner", "verify"), interval_s=60, timeout_s=20),
    )


def _role(args: RunnerArgs, config: pulumi.Output[str]) -> Role:
    repository = images.repository("gitlab-runner")
    return Role(
        name="gitlab_runner",
        variables={
            "gitlab_runner_repository": repository.source,
            "gitlab_runner_packages": repository.packages,
            "gitlab_runner_config": config,
            "gitlab_runner_ca": args.ca,
            "gitlab_runner_docker_certificate": args.certificate,
            "gitlab_runner_docker_key": args.key,
        },
    )
