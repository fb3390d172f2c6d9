"""GitLab's runner, whose jobs run on the Docker host."""

from collections.abc import Sequence
from pathlib import Path

import pulumi
import pulumi_gitlab as gitlab

from layers.context import Component, LayerContext
from layers.platform.docker import SLICE, access
from settings import docker_engine, images
from settings.foundation.cache import Cache
from settings.mirrors import environment, sources
from settings.names import job_hosts
from settings.platform.docker import DockerHost
from settings.platform.runner import Runner as Settings
from targets import Container, File, Health, Role, Workload
from targets.templates import render

FILES = Path(__file__).parent / "files" / "gitlab"
# Setting of a job's size -> its runner's name, which is the tag that its jobs have; `job` is for
# all without a tag. .gitlab-ci.yml and .ci/provisioner.yml say the tags again.
NAMES = {"job": "datalab", "large_job": "datalab-large", "provision_job": "datalab-provision"}


class Runner(Component):
    """The runner: made in GitLab once for each size of job, and started with those tokens."""

    TYPE = "datalab:platform:Runner"

    @classmethod
    def providers(cls, context: LayerContext) -> Sequence[pulumi.ProviderResource]:
        """GitLab's."""
        return [context.gitlab]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        settings, cache = context.get(Settings), context.get(Cache)
        base = context.endpoint("cache").inner_url
        config = render(
            FILES / "config.toml.j2",
            {
                "url": context.endpoint("gitlab").inner_url,
                "runners": [
                    self._registered(name, settings, size, limit)
                    for size, limit in settings.slots.items()
                ],
                "service": settings.service.model_dump(),
                "services_limit": settings.services_limit,
                "slice": "" if context.local else SLICE,
                "image": images.image("ubuntu"),
                # In `dev` services listen on the machine's loopback address, which no job with a
                # network of its own could reach.
                "network": context.get(DockerHost).network.name if context.local else "",
                "docker_host": access(context)["host"],
                "environment": environment(cache, base),
                "sources": sources(cache, base),
                "hosts": job_hosts(context.settings),
            },
        )
        workload = Workload(
            container=_container(context, config),
            machine=None,
            roles=[_role(context, config)],
            on="gitlab",
        )
        context.place(self, name, workload)
        self.register_outputs({})

    def _registered(
        self, name: str, settings: Settings, size: str, limit: int
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
        may_use = getattr(settings, size)
        return {
            "name": NAMES[size],
            "token": made.token,
            "limit": limit,
            "memory_mib": may_use.memory_mib,
            "cpus": may_use.cpus,
        }


def _container(context: LayerContext, config: pulumi.Output[str]) -> Container | None:
    size = context.get(Settings).container
    if size is None:
        return None
    return Container(
        image=context.image(Settings),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        files={
            "/etc/gitlab-runner/config.toml": File(content=config, mode="0600"),
            "/etc/gitlab-runner/certs/ca.crt": File(content=context.ca),
        },
        # Its jobs are containers next to it; who may run jobs here is root on this machine.
        host_paths={docker_engine.mounted_socket(): docker_engine.SOCKET},
        health=Health(test=("CMD", "gitlab-runner", "verify"), interval_s=60, timeout_s=20),
    )


def _role(context: LayerContext, config: pulumi.Output[str]) -> Role:
    engine = access(context)
    repository = images.repository("gitlab-runner")
    return Role(
        name="gitlab_runner",
        variables={
            "gitlab_runner_repository": repository.source,
            "gitlab_runner_packages": repository.packages,
            "gitlab_runner_config": config,
            "gitlab_runner_ca": context.ca,
            "gitlab_runner_docker_certificate": engine["certificate"],
            "gitlab_runner_docker_key": engine["key"],
        },
    )
