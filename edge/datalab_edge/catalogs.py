"""Make the lakehouse's catalogs, and let roles read them. Run again, it changes nothing.

`python -m datalab_edge.catalogs '{"stage": {"readers": ["lakehouse-reader"]}}'` with the
credentials of each catalog's owner. The roles themselves are there already.
"""

import sys
from collections.abc import Mapping
from typing import Annotated

import duckdb
from pydantic import Field, TypeAdapter, ValidationError

from datalab_edge.credentials import CredentialsError, Lake, Name, Strict, faults, load
from datalab_edge.lake import (
    DATABASE,
    attach,
    attach_database,
    connect,
    data_path,
    identifier,
    quoted,
)

CLIENT = "datalab-catalogs"
INLINING = "data_inlining_row_limit"
Role = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,62}$")]


class Catalog(Strict):
    """One catalog: a schema of PostgreSQL and a prefix of the bucket."""

    encrypted: bool = Field(default=False, description="Parquet files only the catalog can read")
    readers: tuple[Role, ...] = Field(default=(), description="Roles that may read all of it")


PLAN = TypeAdapter(Mapping[Name, Catalog])


class CatalogError(Exception):
    """A catalog that is there is not what was asked for."""


def ensure(lake: Lake, plan: Mapping[str, Catalog]) -> list[str]:
    """Make what is missing, leave the rest; a line for each catalog."""
    if missing := sorted(plan.keys() - lake.catalogs.keys()):
        raise CatalogError(f"no credentials for {', '.join(missing)}")
    return [_ensure(lake, name, wanted) for name, wanted in plan.items()]


def _ensure(lake: Lake, name: str, wanted: Catalog) -> str:
    with connect(lake, []) as connection:
        attach_database(connection, lake, name, name=CLIENT)
        missing = not _is_there(connection, name)
        options = f"ENCRYPTED {str(wanted.encrypted).lower()}"
        attach(connection, lake, name, name=CLIENT, create=options if missing else "")
        if (_option(connection, name, "encrypted") == "true") != wanted.encrypted:
            raise CatalogError(
                f"catalog {name}: it is there and {'not ' * wanted.encrypted}encrypted, which "
                "cannot be changed: copy its tables into a catalog of another name"
            )
        if wanted.encrypted and _option(connection, name, INLINING) != "0":
            # Rows that stand in PostgreSQL stand there in clear.
            connection.execute(f"CALL {identifier(name)}.set_option('{INLINING}', '0')")
        for statement in grants(name, wanted.readers):
            connection.execute(f"CALL postgres_execute('{DATABASE}', {quoted(statement)})")
    done = f"is made, its data in {data_path(lake, name)}" if missing else "is there"
    return f"catalog {name} {done}"


def _is_there(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    table = quoted(f"{identifier(name)}.ducklake_metadata")
    query = quoted(f"SELECT to_regclass({table}) IS NOT NULL")
    found = connection.execute(f"FROM postgres_query('{DATABASE}', {query})").fetchone()
    return bool(found and found[0])


def _option(connection: duckdb.DuckDBPyConnection, name: str, option: str) -> str | None:
    found = connection.execute(
        f"SELECT value FROM {identifier(name)}.options() "
        "WHERE option_name = ? AND scope = 'GLOBAL'",
        [option],
    ).fetchone()
    return str(found[0]) if found else None


def grants(schema: str, readers: tuple[str, ...]) -> list[str]:
    """What lets roles read a catalog, with the tables that DuckLake makes in it later."""
    where = identifier(schema)
    return [
        statement
        for reader in map(identifier, readers)
        for statement in (
            f"GRANT USAGE ON SCHEMA {where} TO {reader}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {where} TO {reader}",
            # Each new table of few rows is a new table of PostgreSQL.
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {where} GRANT SELECT ON TABLES TO {reader}",
        )
    ]


def main() -> int:
    """The command of this module's docstring; 1 with a message where it cannot be done."""
    try:
        plan = PLAN.validate_json(sys.argv[1] if len(sys.argv) > 1 else "{}")
        print("\n".join(ensure(load(), plan)))
    except ValidationError as error:
        print("\n".join(faults(error, "the plan")), file=sys.stderr)
        return 1
    except (CredentialsError, CatalogError, duckdb.Error) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
