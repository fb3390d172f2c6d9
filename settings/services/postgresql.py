"""PostgreSQL's settings and declaration."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from provision import specs
from settings.base import Container, Model, Port
from settings.defaults import ByTarget
from settings.service import Listener, Login, Service, secrets

# A hundred databases of 7.5 MiB each, as many as CI's projects are likely to have.
MOST_DATABASES = 100
# What `provision` takes for other projects, as it makes them on the same server.
DatabaseName = Annotated[str, Field(pattern=specs.POSTGRES_NAME, examples=["shop"])]
# What Debian's package postgresql-18 has, from which the image is made: all of contrib but what
# needs Perl, Python or Tcl in the server.
EXTENSIONS = frozenset(
    (
        *("amcheck", "autoinc", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dblink"),
        *("dict_int", "dict_xsyn", "earthdistance", "file_fdw", "fuzzystrmatch", "hstore"),
        *("insert_username", "intagg", "intarray", "isn", "lo", "ltree", "moddatetime"),
        *("pageinspect", "pg_buffercache", "pg_freespacemap", "pg_logicalinspect", "pg_prewarm"),
        *("pg_surgery", "pg_trgm", "pg_visibility", "pg_walinspect", "pgcrypto", "pgrowlocks"),
        *("pgstattuple", "postgres_fdw", "refint", "seg", "sslinfo", "tablefunc", "tcn"),
        *("tsm_system_rows", "tsm_system_time", "unaccent", "uuid-ossp", "xml2"),
    )
)
Extension = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]*$", examples=["pg_trgm"]), Field(max_length=63)
]


class Database(Model):
    """A database of your own, which nobody but its owner may enter."""

    owner: DatabaseName | None = Field(
        default=None, description="Role that owns it and logs in; unset: one of its own name"
    )
    extensions: tuple[Extension, ...] = Field(
        default=(), max_length=len(EXTENSIONS), description="Extensions of the image's to create"
    )


def owners(databases: Mapping[str, Database]) -> dict[str, str]:
    """Database -> the role that owns it."""
    return {name: wanted.owner or name for name, wanted in databases.items()}


def password(owner: str) -> str:
    """The name of the secret that the owner of a database of one's own logs in with."""
    return f"database-{owner}"


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
    databases: dict[DatabaseName, Database] = Field(
        default={},
        max_length=MOST_DATABASES,
        description="Databases of your own, by name; `./lab logins` has their logins",
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
    entry_secrets=lambda settings: tuple(
        dict.fromkeys(map(password, owners(settings.databases).values()))
    ),
    login=Login(
        secret="postgresql-admin",  # noqa: S106 - a name
        listener="postgresql",
        user="postgres",
    ),
)
