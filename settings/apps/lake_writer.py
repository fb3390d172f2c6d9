"""The lake writer's settings and declaration."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from settings import images
from settings.base import Container, Port, Switched
from settings.defaults import ByTarget
from settings.faults import suggestion
from settings.recipe import Recipe
from settings.sections import Fault
from settings.service import Listener, Service
from settings.services.lakehouse import CatalogName, Lakehouse


class LakeWriter(Switched):
    """Moves the model server's events from Kafka into the lakehouse, each exactly once."""

    port: Port = 8001
    catalog: CatalogName = Field(
        default="secure_stage", description="A key of services.lakehouse.catalogs"
    )
    batch_rows: int = Field(
        default=20_000, ge=1, le=1_000_000, description="A batch of so many rows is committed"
    )
    batch_mib: int = Field(default=16, ge=1, le=256, description="Or of so much, in MiB")
    batch_seconds: int = Field(
        default=60, ge=1, le=3600, description="Or when its first row is so old"
    )
    maintenance_minutes: int = Field(
        default=60, ge=1, le=1440, description="How often small files are merged"
    )
    keep_snapshots_days: int = Field(
        default=7, ge=1, le=365, description="How long former states of tables can be asked for"
    )
    # What it uses at most is measured, with the smaller limit (tests/lake/test_faults.py).
    container: Annotated[
        Container, ByTarget(docker={"memory_mib": 320}, proxmox={"memory_mib": 384})
    ]


def recipe() -> Recipe:
    """What the lake writer's image is built from: what it shares with the edge client, too."""
    return Recipe(
        context=".",
        parts=("apps/lake_writer", "edge/datalab_edge"),
        dockerfile="apps/lake_writer/Dockerfile",
        base={"PYTHON_IMAGE": images.image("python")},
    )


def catalog(writer: LakeWriter, lakehouse: Lakehouse) -> Iterator[Fault]:
    """The lake writer's catalog is one that there is."""
    known = list(lakehouse.catalogs)
    if writer.catalog not in known:
        text = (
            f"{writer.catalog} is not a key of services.lakehouse.catalogs; "
            f"{suggestion(writer.catalog, known)}"
        )
        yield "apps.lake_writer.catalog", text


SERVICE = Service(
    key="apps.lake_writer",
    settings=LakeWriter,
    order=15,
    needs=("services.kafka", "services.postgresql"),
    listeners=(
        Listener(
            name="lake-writer",
            scheme="http",
            exposure="gateway",
            inner_port=8001,
            page="/health",
        ),
    ),
    images={"lake-writer": recipe},
    rules=(catalog,),
)
