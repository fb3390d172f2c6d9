"""The object store's settings and declaration."""

from typing import Annotated, Literal

from pydantic import Field

from settings.base import Container, Model, Port
from settings.defaults import ByTarget
from settings.machines import Lxc
from settings.service import Listener, Login, Service, secrets

ROOT_USER = "datalab-root"
# The lab's own: bucket -> whether it keeps old versions: for state and backups they are the only
# undo.
BUCKETS = {
    "pulumi-state": True,
    "gitlab-registry": False,
    "mlflow": False,
    "lakehouse": False,
    "backups": True,
    "vault-snapshots": True,
}
MOST_BUCKETS = 100
# S3's own rule (3 to 63 characters), without dots: in a host's name they would be one label more
# than a wildcard certificate covers.
BucketName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", examples=["shop"]),
]


class Bucket(Model):
    """A bucket of your own, with a user that may touch it and nothing else."""

    versioning: bool = Field(
        default=False, description="Whether old versions are kept, for noncurrent_days"
    )
    # S3's PutBucketLifecycleConfiguration takes no less than one day; 3,650 are ten years.
    retention_days: int | None = Field(
        default=None, ge=1, le=3650, description="How long an object is kept; unset: for ever"
    )


def user(bucket: str) -> str:
    """The user of a bucket of one's own, and the name of that user's secret key."""
    return f"bucket-{bucket}"


class ObjectStore(Model):
    """The S3 store. Buckets and users of the lab's own are the design's and not a choice."""

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
    buckets: dict[BucketName, Bucket] = Field(
        default={},
        max_length=MOST_BUCKETS,
        description="Buckets of your own, by name; `./lab logins` has their keys",
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
    entry_secrets=lambda settings: tuple(map(user, settings.buckets)),
    login=Login(
        secret="object-store-root",  # noqa: S106 - a name
        listener="store-console",
        user=ROOT_USER,
    ),
)
