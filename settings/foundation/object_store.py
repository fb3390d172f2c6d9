"""The object store's settings and declaration."""

from typing import Annotated, Literal

from pydantic import Field

from settings.base import Container, Model, Port
from settings.defaults import ByTarget
from settings.machines import Lxc
from settings.service import Listener, Login, Service, secrets

ROOT_USER = "datalab-root"


class ObjectStore(Model):
    """The S3 store. Its buckets and consumers are the design's and not a choice."""

    flavour: Literal["silo", "minio"] = Field(
        default="silo",
        description="Which server; both speak MinIO's S3 and admin API. No public registry has "
        "MinIO's image since September 2026",
    )
    port: Port = Field(default=9000, description="S3 over TLS")
    console_port: Port = Field(default=9001, description="Web console over TLS")
    noncurrent_days: int = Field(
        default=90,
        ge=7,
        le=3650,
        description="How long old versions of state and backups are kept. State has no other undo",
    )
    container: Annotated[Container | None, ByTarget(docker={"memory_mib": 512})] = None
    machine: Lxc | None = None


SERVICE = Service(
    key="foundation.object_store",
    settings=ObjectStore,
    order=10,
    image_setting="flavour",
    listeners=(
        Listener(
            name="store",
            credential="a key pair, each for its own buckets",
            scheme="https",
            exposure="machine",
            inner_port=9000,
            certificate=True,
        ),
        Listener(
            name="store-console",
            credential="a key pair, each for its own buckets",
            scheme="https",
            exposure="machine",
            host="store",
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
    login=Login(
        secret="object-store-root",  # noqa: S106 - a name
        listener="store-console",
        user=ROOT_USER,
    ),
)
