"""Vault's settings and declaration."""

from typing import Annotated, Literal

from pydantic import Field

from settings.base import Container, Model, Port
from settings.defaults import ByTarget
from settings.machines import Lxc
from settings.service import Listener, Service, secrets


class Vault(Model):
    """The secret store for people, CI and other projects."""

    engine: Literal["vault", "openbao"] = Field(
        default="vault", description="HashiCorp's Vault (BSL) or its MPL fork"
    )
    unseal: Literal["automatic", "manual"] = Field(
        default="automatic",
        description="Automatic keeps the key in a root-only file next to the data",
    )
    port: Port = 8200
    container: Annotated[Container | None, ByTarget(docker={"memory_mib": 512})] = None
    machine: Lxc | None = None


SERVICE = Service(
    key="foundation.vault",
    settings=Vault,
    order=20,
    image_setting="engine",
    # vault.hcl.j2: each of its two listeners has one for a cluster.
    own_ports={8201: "its cluster", 8202: "its bootstrap", 8203: "its cluster"},
    listeners=(
        Listener(
            name="vault",
            credential="a token, by a layer's password or a CI job's ID token",
            scheme="https",
            exposure="machine",
            inner_port=8200,
            label="Vault",
            certificate=True,
        ),
    ),
    secrets=secrets(
        "vault-foundation", "vault-platform", "vault-services", "vault-apps", "vault-snapshot"
    ),
)
