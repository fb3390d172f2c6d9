"""What each layer exports, and how the next one reads it.

Not in the layers' own packages, as importing a layer loads all of its providers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import pulumi

from layers.refusals import refusals
from settings.names import Endpoint

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a layer exports: the producer exports every field, the consumer reads them.

    Fields are outputs at run time; a secret stays secret through the reference.
    """

    layer: ClassVar[str]

    def export(self) -> None:
        """Make every field a stack output."""
        for field in fields(self):
            pulumi.export(field.name, getattr(self, field.name))

    @classmethod
    def read(cls, environment: str) -> Self:
        """The outputs of this layer's stack; an error with the command to run if it is empty."""
        stack = f"{environment}-{cls.layer}"
        reference = pulumi.StackReference(f"organization/datalab/{stack}")

        def required(name: str) -> pulumi.Output[Any]:
            def check(value: Any) -> Any:
                return not_yet(environment, cls.layer, name) if value is None else value

            return reference.get_output(name).apply(check)

        return cls(**{field.name: required(field.name) for field in fields(cls)})


def entry(environment: str, below: Outputs, output: str, key: str) -> pulumi.Output[Any]:
    """An entry of an output of a layer below: a service that was off until now has none yet."""

    def check(entries: dict[str, Any]) -> Any:
        if key not in entries:
            not_yet(environment, below.layer, f"{output}[{key}]")
        return entries[key]

    found: pulumi.Output[dict[str, Any]] = getattr(below, output)
    return found.apply(check)


def not_yet(environment: str, layer: str, output: str) -> NoReturn:
    """End the program, as a layer below has not exported this yet."""
    with refusals():
        raise pulumi.RunError(
            f"stack {environment}-{layer} has no output {output}: run ./lab up {environment}, "
            "which brings up every layer"
        )
    raise AssertionError  # refusals has ended it


def secret_map(
    values: Mapping[str, Mapping[str, pulumi.Input[str]]],
) -> pulumi.Output[dict[str, dict[str, str]]]:
    """`values` as one secret output."""
    return pulumi.Output.secret(together({name: together(row) for name, row in values.items()}))


def together(values: Mapping[str, pulumi.Input[T]]) -> pulumi.Output[dict[str, T]]:
    """`values` as one output. Output.all() of none would be a list."""
    return pulumi.Output.all(**values) if values else pulumi.Output.from_input({})


def login(where: Endpoint, user: str, password: pulumi.Input[str]) -> dict[str, pulumi.Input[str]]:
    """How a person logs in to a service: an entry of `logins`."""
    return {"url": where.url, "user": user, "password": password}


@dataclass(frozen=True, kw_only=True)
class FoundationOutputs(Outputs):
    """The foundation's outputs; maps are plain data.

    object_store: endpoint, inner_endpoint, region, buckets (list).
    credentials: consumer -> access_key, secret_key (secret).
    ca_certificate: PEM of the lab's CA.
    certificates: name -> certificate, key, as PEM, for every service and client (secret).
    vault: address, inner_address.
    vault_identities: platform, services, apps -> username, password (secret).
    cache: kind of upstream -> URLs by name, for clients outside; see settings.mirrors.
    network: the containers' network in `dev`; empty in `lab`, where the platform makes it.
    logins: service -> url, user, password of its administrator (secret), for people.
    """

    layer: ClassVar[str] = "foundation"

    object_store: pulumi.Output[dict[str, Any]]
    credentials: pulumi.Output[dict[str, dict[str, str]]]
    ca_certificate: pulumi.Output[str]
    certificates: pulumi.Output[dict[str, dict[str, str]]]
    vault: pulumi.Output[dict[str, str]]
    vault_identities: pulumi.Output[dict[str, dict[str, str]]]
    cache: pulumi.Output[dict[str, Any]]
    network: pulumi.Output[str]
    logins: pulumi.Output[dict[str, dict[str, str]]]


@dataclass(frozen=True, kw_only=True)
class PlatformOutputs(Outputs):
    """The platform's outputs; maps are plain data.

    docker: host, ca, certificate, key (secret); all empty for the engine of the machine at hand.
    network: the containers' network, in both environments.
    gitlab: url, api_url (by address), registry (host:port); empty where GitLab is off.
    gitlab_token: an administrator's API token (secret); empty where GitLab is off.
    vault_jwt_accessor: accessor of GitLab's auth mount in Vault; empty where GitLab is off.
    logins: as the foundation's.
    """

    layer: ClassVar[str] = "platform"

    docker: pulumi.Output[dict[str, str]]
    network: pulumi.Output[str]
    gitlab: pulumi.Output[dict[str, Any]]
    gitlab_token: pulumi.Output[str]
    vault_jwt_accessor: pulumi.Output[str]
    logins: pulumi.Output[dict[str, dict[str, str]]]


@dataclass(frozen=True, kw_only=True)
class ServicesOutputs(Outputs):
    """The services' outputs; maps are plain data.

    Every other service that answers has its section's name: url, inner_url (LayerContext.export).
    What is switched off is empty.
    postgresql: host, port, inner_host, inner_port, databases (list).
    postgresql_credentials: role -> username, password (secret).
    lakehouse: outside, inside: what datalab_edge.credentials reads, as JSON (secret).
    kafka: bootstrap (outside), inner_bootstrap, topics -> group.
    mlflow: url, inner_url.
    mlflow_credentials: user -> username, password (secret).
    gitlab_project: id, path, registry (host:port/path); empty where GitLab is off.
    logins: as the foundation's.
    """

    layer: ClassVar[str] = "services"

    postgresql: pulumi.Output[dict[str, Any]]
    postgresql_credentials: pulumi.Output[dict[str, dict[str, str]]]
    lakehouse: pulumi.Output[dict[str, str]]
    kafka: pulumi.Output[dict[str, Any]]
    mlflow: pulumi.Output[dict[str, str]]
    mlflow_credentials: pulumi.Output[dict[str, dict[str, str]]]
    gitlab_project: pulumi.Output[dict[str, Any]]
    logins: pulumi.Output[dict[str, dict[str, str]]]


@dataclass(frozen=True, kw_only=True)
class AppsOutputs(Outputs):
    """The apps' outputs: addresses by application, and references of the images built."""

    layer: ClassVar[str] = "apps"

    urls: pulumi.Output[dict[str, str]]
    images: pulumi.Output[dict[str, str]]
