"""PostgreSQL's settings and declaration."""

from typing import Annotated

from pydantic import Field

from settings.base import Container, Model, Port
from settings.defaults import ByTarget
from settings.service import Listener, Service, secrets


class PostgreSql(Model):
    """PostgreSQL 18."""

    enabled: bool = Field(
        default=True,
        description="Whether it runs; without it its databases go, by `./lab up ENV --data`",
    )
    port: Port = 5432
    max_connections: int = Field(
        default=100, ge=20, le=1000, description="Connections at a time; each is a process"
    )
    container: Annotated[
        Container, ByTarget(docker={"memory_mib": 512}, proxmox={"memory_mib": 1024})
    ]


SERVICE = Service(
    key="services.postgresql",
    settings=PostgreSql,
    order=10,
    listeners=(
        Listener(
            name="postgresql",
            credential="a role with a password, over TLS alone; its own databases",
            scheme="postgresql",
            exposure="docker",
            inner_port=5432,
            certificate=True,
        ),
    ),
    secrets=secrets(
        "postgresql-admin",
        "postgresql-mlflow",
        "postgresql-lakehouse",
        "postgresql-provisioner",
        "postgresql-vault",
    ),
)
