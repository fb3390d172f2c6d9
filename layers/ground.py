"""What layers 1 and 2 stand on: their place, and the providers that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi
import pulumi_docker as docker
import pulumi_random as random
import pulumi_tls as tls

from places import Place
from places.docker import ContainerNetwork, ContainerNetworkArgs, DockerArgs, DockerPlace
from settings import Settings
from settings.foundation.cache import Cache
from settings.program import Given


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

    def behind(self, mirrors: pulumi.Input[dict[str, str]]) -> "Ground":
        """The same ground, whose machines install through the package cache.

        mirrors is what the function of this name says.
        """
        return replace(self, place=self.place.behind(mirrors))

    def options(self, *more: pulumi.ProviderResource) -> pulumi.ResourceOptions:
        """Options of a component of this layer, with `more` providers."""
        return pulumi.ResourceOptions(providers=[*self.providers, *more])


def basic_providers() -> list[pulumi.ProviderResource]:
    """The providers that every place needs."""
    return [random.Provider("random"), tls.Provider("tls")]


def ground(
    layer: str,
    settings: Settings,
    given: Given,
    providers: list[pulumi.ProviderResource],
    *,
    ca: pulumi.Input[str],
    network: pulumi.Input[str] | None = None,
) -> Ground:
    """The ground of `layer`, with `providers` and its place's own.

    ca is the lab CA's certificate. In the place `docker` a missing network is made.
    """
    target = settings.common.target
    if target.kind == "proxmox":
        # Imported here, as proxmoxve takes 0.3 s and `dev` needs none of it.
        from layers.machines import machine_place

        return machine_place(settings, target, given, providers, ca)
    # Without a host: it takes DOCKER_HOST or the local socket, as the user's own tools do.
    providers = [*providers, docker.Provider("docker")]
    if network is None:
        network = container_network(settings, providers)
    labels = {"org.datalab.layer": layer}
    args = DockerArgs(network=network, protect=settings.common.protect, labels=labels)
    return Ground(
        place=DockerPlace(args=args),
        providers=providers,
        publish=str(target.address),
        network=network,
    )


def container_network(
    settings: Settings, providers: list[pulumi.ProviderResource]
) -> pulumi.Output[str]:
    """Make the containers' network on the engine of the docker provider among `providers`."""
    wanted = settings.platform.docker.network
    return ContainerNetwork(
        "network",
        ContainerNetworkArgs(
            name=wanted.name, subnet=str(wanted.subnet), protect=settings.common.protect
        ),
        pulumi.ResourceOptions(providers=providers),
    ).network


def mirrors(cache: Cache, urls: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What the package cache stands in for -> its URL there, of what settings.mirrors.urls says.

    An apt upstream is there by its name, as machines know the archives; and every one whose paths
    the cache keeps by its address, which vendors' downloads and keys begin with.
    """
    found = dict(urls.get("apt", {}))
    for kind in ("apt", "files", "pulumi"):
        for name, url in urls.get(kind, {}).items():
            found[cache.upstreams[name].url.rstrip("/")] = url
    return found
