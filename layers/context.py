"""A component is given its name and a LayerContext, which answers what it asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar, TypeVar

import pulumi
import pulumi_docker as docker

from layers.builder import REGISTRY_USER, builder
from layers.outputs import Outputs, login, secret_map
from layers.values import LayerValues
from settings import Settings
from settings.containers import LAYER_LABEL, recipe, taken
from settings.declarations import BY_KEY, SERVICES
from settings.foundation.cache import Cache
from settings.mirrors import pulled
from settings.names import hosts, machine_hosts
from settings.platform.docker import DockerHost
from settings.program import Given
from settings.service import Service
from targets import Container, Runtime, Workload
from targets.docker import (
    ContainerNetwork,
    ContainerNetworkArgs,
    DockerArgs,
    DockerRuntime,
    ServiceContainer,
    ServiceContainerArgs,
)
from targets.image import Builder, BuiltImage, BuiltImageArgs, Registry

C = TypeVar("C", bound="Component")


class Component(pulumi.ComponentResource):
    """A component of a layer; `COMPONENT` in layers/<layer>/<service>.py is the service's."""

    image: pulumi.Output[str] | None = None  # what it runs, where the lab builds that

    TYPE: ClassVar[str]  # its type token; labs have resources of it, so it never changes
    NAME: ClassVar[str] = ""  # its logical name, where it is not that of its module's service

    @classmethod
    def keep(cls, parent: pulumi.Resource, context: "LayerContext") -> None:
        """Make, under `parent`, what the data of a service that is switched off cannot do without.

        Its volume needs nothing: Docker gives the one that is there to who asks again.
        """

    @classmethod
    def providers(cls, context: "LayerContext") -> Sequence[pulumi.ProviderResource]:
        """The providers that it needs and the others of its layer do not."""
        return ()

    def __init__(
        self, name: str, context: "LayerContext", opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(self.TYPE, name, None, opts)


class LayerContext(LayerValues):
    """A layer of an environment, as its components see it.

    The layer's page sets what only it knows: mirrors, through which machines install
    (settings.mirrors.for_machines); registry, the project's place in GitLab's registry.
    """

    mirrors: pulumi.Input[dict[str, str]] | None = None
    registry: pulumi.Input[str] = ""

    def __init__(self, layer: str, environment: str, settings: Settings, given: Given):
        super().__init__(layer, environment, settings, given)
        self._made: dict[type[Component], Component] = {}

    # Components.

    def options(self, *more: pulumi.ProviderResource) -> pulumi.ResourceOptions:
        """Options of a component of this layer, with `more` providers."""
        return pulumi.ResourceOptions(providers=[*self.providers, *more])

    def component(self, kind: type[C]) -> C:
        """The layer's component of this kind, made when it is first asked for.

        So components come in the order of their needs, and none is handed another's parts.
        """
        made = self._made.get(kind)
        if not isinstance(made, kind):
            name = kind.NAME or BY_KEY[kind.__module__.removeprefix("layers.")].name
            made = self._made[kind] = kind(name, self, self.options(*kind.providers(self)))
        return made

    def listening(self) -> list[Service]:
        """The services of this layer that the settings switch on and that answer somewhere."""
        return [
            service
            for service in SERVICES
            if service.layer == self.layer and service.listeners and self.has(service.name)
        ]

    def deploy(self) -> dict[str, Component]:
        """Bring up every one of them; the components, by name."""
        for service in SERVICES:
            if service.layer == self.layer and service.listeners and not self.has(service.name):
                self._keep(service)
        return {service.name: self.component(_component(service)) for service in self.listening()}

    def _keep(self, service: Service) -> None:
        """Make what the data of a service that is switched off cannot do without."""
        for secret in service.secrets:
            if secret.first_login_of:
                self.secret(secret.name)
        kind = _component(service)
        if "keep" in vars(kind):
            kind.keep(pulumi.ComponentResource(kind.TYPE, service.name, None, self.options()), self)

    # Where things run.

    def run(self, parent: pulumi.Resource, name: str, container: Container) -> docker.Container:
        """Run a container on the lab's Docker host as a child of `parent`."""
        container = self._taken(container)
        args = ServiceContainerArgs(container=container, docker=self._docker_args)
        return ServiceContainer(name, args, pulumi.ResourceOptions(parent=parent)).container

    def place(self, parent: pulumi.Resource, name: str, work: Workload) -> pulumi.Output[str]:
        """Run what is a container in `dev` and a machine in `lab`; see targets.Runtime.run."""
        runtime = self._runtime
        if self.mirrors is not None:
            runtime = runtime.behind(self.mirrors)
        if self.local and work.container is not None:
            work = replace(work, container=self._taken(work.container))
        return runtime.run(parent, name, work)

    def build(self, parent: pulumi.Resource, image: str) -> pulumi.Output[str]:
        """Build an image of a service's declaration as a child of `parent`; its reference."""
        args = BuiltImageArgs(recipe=recipe(self.settings, image), builder=self._builder)
        return BuiltImage(image, args, pulumi.ResourceOptions(parent=parent)).reference

    def _taken(self, container: Container) -> Container:
        """A container whose image is named as the engine gets it; one that is built here has no
        other name.
        """
        if not isinstance(container.image, str):
            return container
        if self.local:
            # Not through the cache: it is a container of the engine that would pull through it.
            return replace(container, image=taken(self.settings, container.image))
        cache, base = self.get(Cache), self.endpoint("cache").url
        return replace(container, image=pulled(cache, base, container.image))

    @cached_property
    def network(self) -> pulumi.Output[str]:
        """The containers' network."""
        if self.layer == "platform":
            return self.foundation.network
        if self.layer != "foundation":
            return self.platform.network
        if not self.local:
            return pulumi.Output.from_input("")  # the platform makes it, on the Docker VM
        return self.make_network(self.options())

    def make_network(self, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
        """Make the network on the engine of the docker provider in `opts`."""
        wanted = self.get(DockerHost).network
        args = ContainerNetworkArgs(
            name=wanted.name, subnet=str(wanted.subnet), protect=self.protect
        )
        return ContainerNetwork("network", args, opts).network

    # What the layer exports.

    def logins(
        self, more: Mapping[str, Mapping[str, pulumi.Input[str]]] | None = None
    ) -> pulumi.Output[dict[str, dict[str, str]]]:
        """How people administer this layer's services, by service, and what else (secret)."""
        found = {}
        for service in self.listening():
            if wanted := service.login:
                user = wanted.user or getattr(self.get(service.settings), wanted.user_setting)
                key = service.section.replace("_", "-")
                found[key] = login(self.endpoint(wanted.listener), user, self.secret(wanted.secret))
        return secret_map({**found, **(more or {})})

    def export(self, outputs: Outputs) -> None:
        """Export the outputs, and url and inner_url of every service that has none among them."""
        outputs.export()
        for service in self.listening():
            if not hasattr(outputs, service.section):
                pulumi.export(service.section, self.address(service.name))

    @cached_property
    def _docker_args(self) -> DockerArgs:
        return DockerArgs(
            network=self.network,
            protect=self.protect,
            labels={LAYER_LABEL: self.layer},
            hosts=machine_hosts(self.settings),
        )

    @cached_property
    def _runtime(self) -> Runtime:
        node = self.settings.common.target
        if node.kind == "docker":
            return DockerRuntime(args=self._docker_args)
        # Imported here, as proxmoxve takes 0.3 s and `dev` needs none of it.
        from targets.machines import MachineArgs, MachineKey, MachineRuntime

        common = self.settings.common
        opts = pulumi.ResourceOptions(providers=self.providers, protect=self.protect)
        key = MachineKey("machines", opts)
        args = MachineArgs(
            node=node,
            domain=common.domain,
            protect=self.protect,
            unpinned=common.unpinned_downloads,
            private_key=key.private_key,
            public_key=key.public_key,
            providers=self.providers,
            common={
                "common_hosts": {str(a): list(names) for a, names in hosts(self.settings).items()},
                "common_timezone": common.timezone,
                "common_ca": self.ca,
            },
        )
        return MachineRuntime(args=args)

    @cached_property
    def _builder(self) -> Builder:
        """How images are built; with a GitLab they are pushed to its registry."""
        plain = replace(builder(self.settings), pushed=self.given.pushed)
        if not self.has("registry"):
            return plain
        registry = Registry(
            url=self.endpoint("registry").url,
            path=self.registry,
            username=REGISTRY_USER,
            password=self.platform.gitlab_token,
        )
        return replace(plain, registry=registry)


def _component(service: Service) -> type[Component]:
    """The component of a service, in the module of its name."""
    found: Any = import_module(f"layers.{service.key}").COMPONENT
    kind: type[Component] = found
    return kind
