"""What layers 3 and 4 stand on: the platform's Docker host, and the images built on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pulumi
import pulumi_docker as docker

from layers.outputs import FoundationOutputs, PlatformOutputs
from places import Container, Port
from places.docker import DockerArgs, ServiceContainer, ServiceContainerArgs
from places.image import Builder, BuiltImage, BuiltImageArgs, Recipe, Registry
from places.trust import trust_file
from settings import Settings
from settings.images import Pushed
from settings.mirrors import pulled, urls
from settings.names import ROWS, Endpoint, endpoints, machine_hosts

# GitLab takes any name with a token as password.
REGISTRY_USER = "datalab"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The Docker host as a layer sees it."""

    settings: Settings
    host: DockerArgs
    provider: docker.Provider
    builder: Builder

    def options(self, *more: pulumi.ProviderResource) -> pulumi.ResourceOptions:
        """Options of a component of this layer, with `more` providers."""
        return pulumi.ResourceOptions(providers=[self.provider, *more])

    def endpoint(self, name: str) -> Endpoint:
        """Where the service `name` answers."""
        return endpoints(self.settings)[name]

    def ports(self, name: str, inside: int | None = None) -> Sequence[Port]:
        """What the service publishes: in the lab nothing that the gateway answers for."""
        endpoint = self.endpoint(name)
        if self.settings.common.target.kind == "proxmox" and ROWS[name].exposure == "gateway":
            return ()
        inner = inside or endpoint.inner_port
        return (Port(inside=inner, outside=endpoint.port, address=str(endpoint.address)),)

    def run(self, parent: pulumi.Resource, name: str, container: Container) -> docker.Container:
        """Run a container as a child of `parent`."""
        # Not in `dev`: there the cache is a container of the engine that would pull through it.
        if self.settings.common.target.kind == "proxmox" and isinstance(container.image, str):
            cache, base = self.settings.foundation.cache, self.endpoint("cache").url
            container = replace(container, image=pulled(cache, base, container.image))
        args = ServiceContainerArgs(container=container, docker=self.host)
        return ServiceContainer(name, args, pulumi.ResourceOptions(parent=parent)).container

    def build(
        self, parent: pulumi.Resource, name: str, recipe: Recipe, path: pulumi.Input[str]
    ) -> pulumi.Output[str]:
        """Build an image as a child of `parent`; its reference.

        path is the project's place in GitLab's registry, where that is on.
        """
        builder = self.builder
        if builder.registry:
            builder = replace(builder, registry=replace(builder.registry, path=path))
        args = BuiltImageArgs(recipe=recipe, builder=builder)
        return BuiltImage(name, args, pulumi.ResourceOptions(parent=parent)).reference


def engine(
    layer: str, settings: Settings, platform: PlatformOutputs, pushed: Mapping[str, Pushed]
) -> Engine:
    """The engine of `layer`; pushed are the lab's own images that its registry has."""
    local = settings.common.target.kind == "docker"
    present = endpoints(settings)
    access: pulumi.Output[dict[str, str]] = pulumi.Output.secret(platform.docker)
    registry, login = present.get("registry"), []
    if registry:
        login = [
            docker.ProviderRegistryAuthArgs(
                # With its scheme: GitLab's registry in `dev` has no TLS (kreuzwerker#291).
                address=registry.url,
                username=REGISTRY_USER,
                password=pulumi.Output.secret(platform.gitlab_token),
            )
        ]
    provider = docker.Provider(
        "docker",
        # Locally without a host: it takes DOCKER_HOST or the socket, as the user's own tools do.
        host=None if local else access["host"],
        ca_material=None if local else access["ca"],
        cert_material=None if local else access["certificate"],
        key_material=None if local else access["key"],
        registry_auth=login or None,
    )
    plain = builder(settings)
    return Engine(
        settings=settings,
        host=DockerArgs(
            network=platform.network,
            protect=settings.common.protect,
            labels={"org.datalab.layer": layer},
            hosts=plain.hosts,
        ),
        provider=provider,
        builder=replace(
            plain,
            registry=Registry(
                url=registry.url, path="", username=REGISTRY_USER, password=platform.gitlab_token
            )
            if registry
            else None,
            pushed=pushed,
        ),
    )


def builder(settings: Settings) -> Builder:
    """How images are built on the lab's engine, by `up` and by the pipelines' images job."""
    local = settings.common.target.kind == "docker"
    return Builder(
        sources=_sources(settings),
        hosts=machine_hosts(settings),
        platform=None if local else "linux/amd64",  # what Proxmox VE runs on
    )


def _sources(settings: Settings) -> dict[str, str]:
    """Build arguments, by the upstreams that the package cache has."""
    found = urls(settings.foundation.cache, endpoints(settings)["cache"].url)
    arguments = {}
    if mirror := found.get("apt", {}).get("ubuntu"):
        arguments["UBUNTU_MIRROR"] = mirror
    if index := found.get("pypi"):
        arguments["PIP_INDEX_URL"] = index[min(index)]
        # The cache has no TLS; pip checks the hashes of requirements.txt.
        arguments["PIP_TRUSTED_HOST"] = urlsplit(arguments["PIP_INDEX_URL"]).hostname or ""
    if packages := found.get("npm"):
        arguments["NPM_CONFIG_REGISTRY"] = packages[min(packages)]
    return arguments


def gitlab_provider(
    settings: Settings, foundation: FoundationOutputs, platform: PlatformOutputs
) -> pulumi.ProviderResource:
    """The provider of the lab's GitLab, where that is on."""
    # Imported here, as it takes 0.4 s and a lab without GitLab needs none of it.
    import pulumi_gitlab as gitlab

    return gitlab.Provider(
        "gitlab",
        base_url=platform.gitlab["api_url"],
        token=platform.gitlab_token,
        cacert_file=trust_file(foundation.ca_certificate, settings.common.trust_path),
        # A preview must work while GitLab is off.
        early_auth_check=False,
    )
