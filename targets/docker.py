"""Docker: the engine of the machine at hand in `dev`, that of the Docker VM in `lab`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Self, cast

import pulumi
import pulumi_docker as docker

from settings.containers import SERVICE_LABEL, docker_name
from targets import Container, Health, Workload

DNS = "127.0.0.11"  # its own resolver, which answers in every network that a user made
# Docker keeps json-file logs for ever by default; 3 x 10 MiB for each container is plenty.
LOG_OPTIONS = {"max-file": "3", "max-size": "10m"}


@dataclass(frozen=True, kw_only=True)
class DockerArgs:
    """What containers on one Docker host share.

    hosts maps names of machines to addresses, for containers that cannot ask a DNS server.
    """

    network: pulumi.Input[str]
    protect: bool
    labels: Mapping[str, str]
    hosts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ServiceContainerArgs:
    """One container and the host that it runs on."""

    container: Container
    docker: DockerArgs


class ServiceContainer(pulumi.ComponentResource):
    """A container with its image and its volumes."""

    container: docker.Container

    def __init__(
        self,
        name: str,
        args: ServiceContainerArgs,
        opts: pulumi.ResourceOptions | None = None,
    ):
        super().__init__("datalab:places:ServiceContainer", name, None, opts)
        spec, place = args.container, args.docker
        labels = {**place.labels, SERVICE_LABEL: name}
        image = docker.RemoteImage(
            f"{name}-image",
            name=spec.image,
            keep_locally=True,  # other containers and the last version's roll-back use it too
            opts=pulumi.ResourceOptions(parent=self),
        )
        volumes = [
            docker.Volume(
                f"{volume}-volume",
                name=f"datalab-{volume}",
                labels=[docker.VolumeLabelArgs(label=k, value=v) for k, v in labels.items()],
                opts=pulumi.ResourceOptions(
                    parent=self, protect=place.protect, delete_before_replace=True
                ),
            )
            for volume in spec.volumes
        ]
        self.container = _container(self, name, args, image.image_id, labels, after=volumes)
        self.register_outputs({"name": self.container.name})


def _container(
    parent: ServiceContainer,
    name: str,
    args: ServiceContainerArgs,
    image_id: pulumi.Output[str],
    labels: Mapping[str, str],
    *,
    after: Sequence[docker.Volume],
) -> docker.Container:
    spec, place = args.container, args.docker
    health = spec.health
    return docker.Container(
        f"{name}-container",
        name=docker_name(name),
        image=image_id,
        command=list(spec.command) or None,
        entrypoints=list(spec.entrypoint) or None,
        envs=_environment(spec),
        user=spec.user,
        restart="unless-stopped",
        memory=spec.memory_mib,
        # Without it the provider reads back twice the memory, a change at every `up`.
        memory_swap=spec.memory_mib,
        cpus=None if spec.cpus is None else _cores(spec.cpus),
        shm_size=spec.shm_mib,
        gpus="all" if spec.gpu else None,
        devices=[
            docker.ContainerDeviceArgs(host_path=path, container_path=path, permissions="rwm")
            for path in spec.devices
        ]
        or None,
        security_opts=["no-new-privileges:true"],
        capabilities=_capabilities(spec),
        read_only=spec.read_only or None,
        log_driver="json-file",
        log_opts=LOG_OPTIONS,
        labels=[docker.ContainerLabelArgs(label=k, value=v) for k, v in sorted(labels.items())],
        networks_advanced=[
            docker.ContainerNetworksAdvancedArgs(
                name=place.network, aliases=sorted({name, *spec.aliases})
            )
        ],
        hosts=[
            docker.ContainerHostArgs(host=host, ip=address)
            for host, address in sorted(place.hosts.items())
        ],
        ports=[
            docker.ContainerPortArgs(internal=port.inside, external=port.outside, ip=port.address)
            for port in spec.ports
        ],
        volumes=_mounts(spec),
        uploads=_uploads(spec),
        healthcheck=_healthcheck(health),
        # When the machine stops, and when the provider does: without the latter it kills at once.
        stop_timeout=spec.stop_s,
        destroy_grace_seconds=spec.stop_s,
        # A container that never becomes healthy fails `up`; the provider's 60 s are too few for it.
        wait=True,
        wait_timeout=health.wait_s,
        opts=pulumi.ResourceOptions(
            parent=parent,
            # First, or Docker makes them without their labels; and a volume in use stays.
            depends_on=after,
            # One container a name and a port: the new one cannot run next to the old one.
            delete_before_replace=True,
            # An edited health check is silently not applied (kreuzwerker#988).
            replace_on_changes=["healthcheck"],
        ),
    )


def _capabilities(spec: Container) -> docker.ContainerCapabilitiesArgs | None:
    """All but these are dropped; with the prefix, as an engine gives them back."""
    if spec.capabilities is None:
        return None
    adds = [f"CAP_{name}" for name in sorted(spec.capabilities)]
    return docker.ContainerCapabilitiesArgs(adds=adds or None, drops=["ALL"])


def _cores(number: float) -> str:
    """A CPU limit in tenths of a core, spelt as the provider reads it back: `0.5`, `4.0`, `10.`.

    Spelt otherwise, it would replace the container at every `up` (nanoInt64ToDecimalString in
    terraform-provider-docker v4.5.0).
    """
    return f"{number:.1f}" if number % 10 else f"{number:.0f}."


def _duration(seconds: int) -> str:
    """Seconds as Go's time.Duration spells them, `1m0s` and not `60s`: see _cores."""
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def _healthcheck(health: Health) -> docker.ContainerHealthcheckArgs:
    return docker.ContainerHealthcheckArgs(
        tests=list(health.test),
        interval=_duration(health.interval_s),
        timeout=_duration(health.timeout_s),
        retries=6,  # by Docker's three, half a minute of work would be called unhealthy
        start_period=_duration(health.start_period_s),
    )


def _uploads(spec: Container) -> list[docker.ContainerUploadArgs]:
    return [
        docker.ContainerUploadArgs(
            file=path,
            content=file.content,
            permissions=file.mode,
            # With one of them an engine looks the user of the container or its image up on its
            # host (moby's tarCopyOptions), which knows no user of an image.
            owner=str(file.owner) if file.owner else None,
            group=str(file.owner) if file.owner else None,
        )
        for path, file in sorted(spec.files.items())
    ]


def _environment(spec: Container) -> list[pulumi.Input[str]] | None:
    return [
        pulumi.Output.concat(key, "=", value) for key, value in sorted(spec.environment.items())
    ]


def _mounts(spec: Container) -> list[docker.ContainerVolumeArgs]:
    # By their fixed names, not by the volumes' outputs: a volume that is replaced would otherwise
    # take its containers with it before anybody is asked.
    named = [
        docker.ContainerVolumeArgs(volume_name=f"datalab-{volume}", container_path=path)
        for volume, path in sorted(spec.volumes.items())
    ]
    bound = [
        docker.ContainerVolumeArgs(host_path=outside, container_path=inside)
        for outside, inside in sorted(spec.host_paths.items())
    ]
    return named + bound


@dataclass(frozen=True, kw_only=True)
class DockerRuntime:
    """Runs workloads as containers."""

    args: DockerArgs

    def behind(self, mirrors: pulumi.Input[dict[str, str]]) -> Self:
        """See targets.Runtime. Containers come as images and install nothing."""
        return self

    def run(self, parent: pulumi.Resource, name: str, workload: Workload) -> pulumi.Output[str]:
        """See targets.Runtime; what is known in the end is the container's id."""
        # There is one: settings/rules.py, homes.
        container = cast("Container", workload.container)
        args = ServiceContainerArgs(container=container, docker=self.args)
        return ServiceContainer(name, args, pulumi.ResourceOptions(parent=parent)).container.id


@dataclass(frozen=True, kw_only=True)
class ContainerNetworkArgs:
    """The network's name in Docker and its subnet in CIDR form."""

    name: str
    subnet: str
    protect: bool


class ContainerNetwork(pulumi.ComponentResource):
    """The bridge network on which containers find each other by name."""

    network: pulumi.Output[str]

    def __init__(
        self, name: str, args: ContainerNetworkArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:places:ContainerNetwork", name, None, opts)
        made = docker.Network(
            f"{name}-bridge",
            name=args.name,
            driver="bridge",
            # With the gateway that Docker would choose: it tells of its own choice only after a
            # restart, and the provider then wants another network (kreuzwerker#54).
            ipam_configs=[
                docker.NetworkIpamConfigArgs(
                    subnet=args.subnet, gateway=str(next(IPv4Network(args.subnet).hosts()))
                )
            ],
            # A name and a subnet that the old one still holds cannot be had twice. Upper layers'
            # containers that hold data stay in it, and Docker deletes none that is in use.
            opts=pulumi.ResourceOptions(
                parent=self, delete_before_replace=True, protect=args.protect
            ),
        )
        self.network = made.name
        self.register_outputs({"network": self.network})
