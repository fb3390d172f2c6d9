"""The Docker VM of `lab`: its engine answers to client certificates only."""

from collections.abc import Mapping

import pulumi

from layers.context import Component, LayerContext
from settings import images
from settings.foundation.cache import DOCKER_HUB
from settings.platform.docker import DockerHost as Settings
from settings.platform.runner import Runner
from targets import Role, Workload

# What systemd bounds all jobs' containers with; Docker takes no other ending for a parent.
SLICE = "jobs.slice"


class DockerHost(Component):
    """The VM; `ready` is known once its engine answers."""

    TYPE = "datalab:platform:DockerHost"

    ready: pulumi.Output[str]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        machine, node = context.get(Settings).machine, context.settings.common.target
        roles, types = [_engine(context)], set()
        if machine and node.kind == "proxmox":
            types = {node.pci[name].gpu_type for name in machine.devices}
        if "nvidia" in types:
            roles.append(_driver())
        if "render" in types:
            roles.append(Role(name="render", variables={}))
        workload = Workload(container=None, machine=machine, roles=roles)
        self.ready = context.place(self, name, workload)
        self.register_outputs({"ready": self.ready})


def access(context: LayerContext) -> dict[str, pulumi.Input[str]]:
    """How the engine is reached; all empty for that of the machine at hand."""
    if context.local:
        return {"host": "", "ca": "", "certificate": "", "key": ""}
    endpoint, client = context.endpoint("docker"), context.certificate("docker-client")
    ready = context.component(DockerHost).ready
    return {
        "host": ready.apply(lambda _: f"tcp://{endpoint.reached}"),
        "ca": context.ca,
        "certificate": client["certificate"],
        "key": client["key"],
    }


def _docker_hub_mirror(urls: Mapping[str, Mapping[str, str]]) -> str:
    """The cache's address for Docker Hub, or empty text; the engine wants it without a path."""
    end = f"/{DOCKER_HUB}"
    prefix = next((p for p in urls.get("oci", {}).values() if p.endswith(end)), "")
    return f"http://{prefix.removesuffix(end)}" if prefix else ""


def _engine(context: LayerContext) -> Role:
    server, registries = context.certificate("docker"), []
    if context.has("registry"):
        registries.append(context.endpoint("registry").netloc)
    repository = images.repository("docker")
    return Role(
        name="docker_host",
        variables={
            "docker_host_repository": repository.source,
            "docker_host_packages": repository.packages,
            "docker_host_port": context.get(Settings).port,
            "docker_host_certificate": server["certificate"],
            "docker_host_key": server["key"],
            "docker_host_ca": context.ca,
            "docker_host_registries": registries,
            "docker_host_slice": SLICE,
            "docker_host_jobs_mib": context.get(Runner).jobs_mib,
            "docker_host_mirror": context.foundation.cache.apply(_docker_hub_mirror),
        },
    )


def _driver() -> Role:
    repository = images.repository("nvidia")
    return Role(
        name="nvidia",
        variables={
            "nvidia_driver": images.download("nvidia-driver").model_dump(),
            "nvidia_repository": repository.source,
            "nvidia_packages": repository.packages,
        },
    )


COMPONENT = DockerHost
