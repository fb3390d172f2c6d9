"""The lakehouse's settings and declaration: its catalogs; servers of its own it has none."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from settings.base import Model
from settings.defaults import always
from settings.service import Service, secrets

# A client that attaches all of them has a connection for each, and PostgreSQL 20 at the least.
MOST_CATALOGS = 16
# A schema of PostgreSQL, a catalog of DuckDB and, with hyphens, a prefix in the bucket.
CatalogName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$", examples=["stage"])]


class Catalog(Model):
    """A DuckLake catalog."""

    encrypted: bool = Field(
        default=False,
        description="Its files are encrypted and only the role lakehouse-secure may enter. It "
        "cannot be changed once the catalog is there",
    )


CATALOGS: Mapping[str, Mapping[str, bool]] = {
    "stage": {},
    "secure_stage": {"encrypted": True},
    "marts": {},
}


class Lakehouse(Model):
    """DuckLake: catalogs in PostgreSQL's database lakehouse, data in the bucket lakehouse."""

    catalogs: Annotated[dict[CatalogName, Catalog], always(CATALOGS)] = Field(
        min_length=1,
        max_length=MOST_CATALOGS,
        description="The catalogs, by name. One that leaves the settings keeps its data",
    )


SERVICE = Service(
    key="services.lakehouse",
    settings=Lakehouse,
    order=15,
    part_of="services.postgresql",
    secrets=secrets("postgresql-lakehouse-secure", "postgresql-lakehouse-reader"),
)
