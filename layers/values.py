"""What a layer knows: its settings, the layers below, addresses, secrets, certificates."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

import pulumi
import pulumi_docker as docker

from layers import providers
from layers.builder import REGISTRY_USER
from layers.outputs import FoundationOutputs, PlatformOutputs, ServicesOutputs, entry
from settings import Settings, containers
from settings.base import Model
from settings.declarations import BY_MODEL
from settings.generated import of_entries
from settings.names import ROWS, Endpoint, endpoints
from settings.program import Given
from settings.sections import sections
from targets import Port
from targets.trust import trust_file

if TYPE_CHECKING:
    from layers.secrets import Passwords

M = TypeVar("M", bound=Model)
Pair = Mapping[str, pulumi.Output[str]] | pulumi.Output[dict[str, str]]


class Issuer(Protocol):
    """Who makes the lab's certificates: ca is the CA's own, leaves those that it signed (PEM)."""

    ca: pulumi.Output[str]
    leaves: Mapping[str, Mapping[str, pulumi.Output[str]]]


class LayerValues:
    """What a layer knows and has; issuer is set in the foundation, which makes the certificates."""

    issuer: Issuer | None = None

    def __init__(self, layer: str, environment: str, settings: Settings, given: Given):
        self.layer, self.environment = layer, environment
        self.settings, self.given = settings, given
        self.protect = settings.common.protect
        self.local = settings.common.target.kind == "docker"
        self._endpoints = endpoints(settings)
        self._secrets: dict[str, pulumi.Output[str]] = {}
        self.providers = self._providers()

    # The layers below.

    @cached_property
    def foundation(self) -> FoundationOutputs:
        """The foundation's outputs."""
        return FoundationOutputs.read(self.environment)

    @cached_property
    def platform(self) -> PlatformOutputs:
        """The platform's outputs."""
        return PlatformOutputs.read(self.environment)

    @cached_property
    def services(self) -> ServicesOutputs:
        """The services' outputs."""
        return ServicesOutputs.read(self.environment)

    # What a component asks for.

    def get(self, section: type[M]) -> M:
        """A service's settings, by their model."""
        return self.settings.get(section)

    def image(self, section: type[M]) -> str:
        """The vendor's image that a service's container runs, by its declaration."""
        return containers.pulled(self.settings, BY_MODEL[section])

    def endpoint(self, name: str) -> Endpoint:
        """Where the service `name` answers."""
        return self._endpoints[name]

    def address(self, name: str) -> dict[str, str]:
        """The same as a layer exports it."""
        endpoint = self.endpoint(name)
        return {"url": endpoint.url, "inner_url": endpoint.inner_url}

    def has(self, name: str) -> bool:
        """Whether the settings switch the service `name` on."""
        return name in self._endpoints

    def secret(self, name: str, length: int = 32) -> pulumi.Output[str]:
        """The generated secret `name` of a service's declaration, the same whenever asked."""
        if name not in self._secrets:
            self._secrets[name] = self._passwords.make(name, length)
        return self._secrets[name]

    @property
    def ca(self) -> pulumi.Output[str]:
        """The lab CA's certificate (PEM)."""
        return self.issuer.ca if self.issuer else self.foundation.ca_certificate

    @property
    def trust(self) -> pulumi.Output[str]:
        """The path of a file that holds it."""
        return trust_file(self.ca, self.settings.common.trust_path)

    def certificate(self, name: str) -> Pair:
        """Certificate and key (PEM) of a service or client."""
        if self.issuer:
            return self.issuer.leaves[name]
        return entry(self.environment, self.foundation, "certificates", name)

    def ports(self, name: str, inside: int | None = None) -> Sequence[Port]:
        """What a container publishes: in the lab nothing that the gateway answers for."""
        if not ROWS[name].published(docker=self.local):
            return ()
        endpoint = self.endpoint(name)
        inner = inside or endpoint.inner_port
        return (Port(inside=inner, outside=endpoint.port, address=str(endpoint.address)),)

    # Providers of several components; those of one alone are made by its own `providers`.

    @cached_property
    def gitlab(self) -> pulumi.ProviderResource:
        """That of the lab's GitLab, above the platform; the platform's page sets its own."""
        below = self.platform
        url = entry(self.environment, below, "gitlab", "api_url")
        return providers.gitlab(url, below.gitlab_token, self.trust)

    @cached_property
    def vault(self) -> pulumi.ProviderResource:
        """That of Vault for this layer's identity, above the foundation."""
        identity = self.foundation.vault_identities[self.layer]
        return providers.vault(self.endpoint("vault"), identity, self.trust)

    def _providers(self) -> list[pulumi.ProviderResource]:
        """Those that every component of the layer is given."""
        if self.layer == "apps":
            return [self._engine]
        if self.layer == "services":
            return [self._engine, self._randoms, providers.commands()]
        basic = [self._randoms, providers.keys()]
        node = self.settings.common.target
        if node.kind == "proxmox":
            return [*basic, providers.proxmox(node, self.given), providers.commands()]
        return [*basic, providers.docker(None)]

    @cached_property
    def _randoms(self) -> pulumi.ProviderResource:
        return providers.randoms()

    @cached_property
    def _engine(self) -> docker.Provider:
        """The platform's Docker host, with a login to the lab's registry."""
        registry = self._endpoints.get("registry")
        secret: pulumi.Output[dict[str, str]] = pulumi.Output.secret(self.platform.docker)
        access = None if self.local else secret
        if registry is None:
            return providers.docker(access)
        auth = docker.ProviderRegistryAuthArgs(
            # With its scheme: GitLab's registry in `dev` has no TLS (kreuzwerker#291).
            address=registry.url,
            username=REGISTRY_USER,
            password=pulumi.Output.secret(self.platform.gitlab_token),
        )
        return providers.docker(access, auth)

    @cached_property
    def _passwords(self) -> "Passwords":
        from layers.secrets import Passwords

        opts = pulumi.ResourceOptions(providers=[self._randoms])
        more = of_entries(sections(self.settings))
        return Passwords("passwords", self.settings.common, more, opts)
