"""What layers 1 and 2 stand on: their place, and the providers that it needs."""

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
import pulumi_random as random
import pulumi_tls as tls

from places import Place
from places.docker import ContainerNetwork, ContainerNetworkArgs, DockerArgs, DockerPlace
from settings import Settings
from settings.program import Secrets


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A layer's place.

    publish is the address for published ports; network the containers' network, where there is
    one already; providers those of every component of the layer.
    """

    place: Place
    providers: list[pulumi.ProviderResource]
    publish: str = ""
    network: pulumi.Input[str] = ""

    def options(self, *more: pulumi.ProviderResource) -> pulumi.ResourceOptions:
        """Options of a component of this layer, with `more` providers."""
        return pulumi.ResourceOptions(providers=[*self.providers, *more])


def ground(
    layer: str, settings: Settings, secrets: Secrets, network: pulumi.Input[str] | None
) -> Ground:
    """The ground of `layer`. In the place `docker` a missing network is made."""
    providers: list[pulumi.ProviderResource] = [random.Provider("random"), tls.Provider("tls")]
    if settings.common.engine is None:
        # Imported here, as proxmoxve takes 0.3 s and `dev` needs none of it.
        from layers.machines import machine_place

        return Ground(place=machine_place(layer, settings, secrets, providers), providers=providers)
    # Without a host: it takes DOCKER_HOST or the local socket, as the user's own tools do.
    engine = docker.Provider("docker")
    providers.append(engine)
    if network is None:
        network = container_network(settings, providers)
    labels = {"org.datalab.layer": layer}
    args = DockerArgs(network=network, protect=settings.common.protect, labels=labels)
    return Ground(
        place=DockerPlace(args=args),
        providers=providers,
        publish=str(settings.common.engine.address),
        network=network,
    )


def container_network(
    settings: Settings, providers: list[pulumi.ProviderResource]
) -> pulumi.Output[str]:
    """Make the containers' network on the engine of the docker provider among `providers`."""
    wanted = settings.platform.docker.network
    return ContainerNetwork(
        "network",
        ContainerNetworkArgs(name=wanted.name, subnet=str(wanted.subnet)),
        pulumi.ResourceOptions(providers=providers),
    ).network
