"""The Docker VM of `lab`: its engine answers to client certificates only."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from places import Place, Role, Workload
from settings import images
from settings.platform.docker import DockerHost as DockerHostSettings
from settings.target import PciDevice


@dataclass(frozen=True, kw_only=True)
class DockerHostArgs:
    """The VM's settings, the engine's certificate and the CA (PEM), and where images come from.

    pci are the node's devices, of which the VM may have some.
    registries are host:port of registries with the lab's certificate; mirror is the package
    cache's address for Docker Hub.
    """

    settings: DockerHostSettings
    pci: Mapping[str, PciDevice]
    place: Place
    ca: pulumi.Input[str]
    certificate: pulumi.Input[str]
    key: pulumi.Input[str]
    registries: list[str]
    mirror: pulumi.Input[str]


class DockerHost(pulumi.ComponentResource):
    """The VM; `ready` is known once its engine answers."""

    ready: pulumi.Output[str]

    def __init__(self, name: str, args: DockerHostArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:platform:DockerHost", name, None, opts)
        machine = args.settings.machine
        roles = [_engine(args)]
        types = {args.pci[name].gpu_type for name in machine.devices} if machine else set()
        if "nvidia" in types:
            roles.append(_driver())
        if "render" in types:
            roles.append(Role(name="render", variables={}))
        workload = Workload(container=None, machine=machine, roles=roles)
        self.ready = args.place.run(self, name, workload)
        self.register_outputs({"ready": self.ready})


def _engine(args: DockerHostArgs) -> Role:
    repository = images.repository("docker")
    return Role(
        name="docker_host",
        variables={
            "docker_host_repository": repository.source,
            "docker_host_packages": repository.packages,
            "docker_host_port": args.settings.port,
            "docker_host_certificate": args.certificate,
            "docker_host_key": args.key,
            "docker_host_ca": args.ca,
            "docker_host_registries": args.registries,
            "docker_host_mirror": args.mirror,
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
