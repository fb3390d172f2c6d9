"""Settings of layer 1: object store, Vault, package cache."""

from typing import Literal

from pydantic import Field

from settings.base import Container, Model, Port
from settings.cache import FIRST_REGISTRY_PORT, MOST_UPSTREAMS, Cache
from settings.machines import Lxc
from settings.service import Listener, Service, secrets


class ObjectStore(Model):
    """The S3 store. Its buckets and consumers are the design's and not a choice."""

    flavour: Literal["silo", "minio"] = Field(
        default="silo", description="Which server; both speak MinIO's S3 and admin API"
    )
    port: Port = Field(default=9000, description="S3 over TLS")
    console_port: Port = Field(default=9001, description="Web console over TLS")
    noncurrent_days: int = Field(
        default=90,
        ge=7,
        le=3650,
        description="How long old versions of state and backups are kept. State has no other undo",
    )
    container: Container | None = None
    machine: Lxc | None = None


class Vault(Model):
    """The secret store for people, CI and other projects."""

    engine: Literal["vault", "openbao"] = Field(
        default="vault", description="HashiCorp's Vault (BSL) or its MPL fork"
    )
    unseal: Literal["automatic", "manual"] = Field(
        default="automatic",
        description="Automatic keeps the key in a root-only file beside the data",
    )
    port: Port = 8200
    container: Container | None = None
    machine: Lxc | None = None


class Foundation(Model):
    """Layer 1."""

    object_store: ObjectStore
    vault: Vault
    cache: Cache


SERVICES = (
    Service(
        layer="foundation",
        section="object_store",
        listeners=(
            Listener(
                name="store", scheme="https", exposure="machine", inner_port=9000, certificate=True
            ),
            Listener(
                name="store-console",
                scheme="https",
                exposure="machine",
                port_setting="console_port",
                inner_port=9001,
                label="Object store",
            ),
        ),
        secrets=secrets(
            "object-store-root",
            "object-store-state",
            "object-store-state-reader",
            "object-store-gitlab",
            "object-store-mlflow",
            "object-store-lakehouse",
            "object-store-backup",
            "object-store-vault",
        ),
    ),
    Service(
        layer="foundation",
        section="vault",
        # vault.hcl.j2: each of its two listeners has one for a cluster.
        own_ports={8201: "its cluster", 8202: "its bootstrap", 8203: "its cluster"},
        listeners=(
            Listener(
                name="vault",
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
    ),
    Service(
        layer="foundation",
        section="cache",
        own_ports={
            8481: "its fetching server",
            **{FIRST_REGISTRY_PORT + n: "a registry" for n in range(MOST_UPSTREAMS)},
        },
        listeners=(
            Listener(
                name="cache",
                scheme="http",
                exposure="machine",
                inner_port=8480,
                label="Package cache",
            ),
        ),
    ),
)
