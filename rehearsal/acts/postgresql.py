"""Roles, databases and grants of a PostgreSQL server.

What terraform-provider-postgresql does with the lab's own inputs, as SQL in its order. Read at
ff936b94: resource_postgresql_role.go, _database.go, _grant.go.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from rehearsal.acts import Act, ActError, file, register, same
from rehearsal.rules import Step
from rehearsal.rules.stores import DATABASE, ROLE

GRANT = "postgresql:index/grant:Grant"
EXTENSION = "postgresql:index/extension:Extension"
SWITCHES = {"createDatabase": "CREATEDB", "createRole": "CREATEROLE", "login": "LOGIN"}
LOCALES = {"template": "TEMPLATE", "encoding": "ENCODING", "lcCollate": "LC_COLLATE"}
LOCALES |= {"lcCtype": "LC_CTYPE"}


@contextmanager
def connected(step: Step, database: str = "") -> Iterator[psycopg.Connection]:
    """A connection as the provider's options say, to another database where one is named."""
    config = step.config
    try:
        with psycopg.connect(
            host=config["host"],
            port=int(config.get("port", 5432)),
            user=config["username"],
            password=config["password"],
            dbname=database or config.get("database", "postgres"),
            sslmode=config.get("sslmode", "require"),
            sslrootcert=file(step, "sslrootcert"),
            connect_timeout=30,
            autocommit=True,
        ) as made:
            yield made
    except psycopg.Error as error:
        raise ActError(str(error).strip()) from None


def create_role(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    """resourcePostgreSQLRoleCreate."""
    with connection.transaction():
        connection.execute(text(f"CREATE ROLE {{}} WITH {_switches(role)}", role["name"]))
        _password(connection, role)
        _memberships(connection, role)
        _assumed(connection, role)


def update_role(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    """resourcePostgreSQLRoleUpdate, whatever changed: memberships are revoked and granted."""
    with connection.transaction():
        connection.execute(text(f"ALTER ROLE {{}} WITH {_switches(role)}", role["name"]))
        _password(connection, role)
        for granted in held(connection, role["name"]):
            connection.execute(text("REVOKE {} FROM {}", granted, role["name"]))
        _memberships(connection, role)
        _assumed(connection, role)


def held(connection: psycopg.Connection, role: str) -> list[str]:
    """The roles that a role is a member of."""
    rows = connection.execute(
        "SELECT pg_get_userbyid(roleid) FROM pg_auth_members"
        " JOIN pg_roles ON member = pg_roles.oid WHERE rolname = %s",
        (role,),
    ).fetchall()
    return [str(name) for (name,) in rows]


def _switches(role: Mapping[str, Any]) -> str:
    return " ".join(word if role.get(key) else f"NO{word}" for key, word in SWITCHES.items())


def _assumed(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    if role.get("assumeRole"):
        words = text("ALTER ROLE {} SET ROLE TO {}", role["name"], role["assumeRole"])
    else:
        words = text("ALTER ROLE {} RESET ROLE", role["name"])
    connection.execute(words)


def _memberships(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    for granted in role.get("roles") or []:
        connection.execute(text("GRANT {} TO {}", granted, role["name"]))


def _password(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    if role.get("password"):
        secret = sql.Literal(role["password"])
        connection.execute(text("ALTER ROLE {} PASSWORD {}", role["name"], secret))


def _read_role(connection: psycopg.Connection, role: Mapping[str, Any]) -> dict[str, Any] | None:
    row = connection.execute(
        "SELECT rolcreatedb, rolcreaterole, rolcanlogin FROM pg_roles WHERE rolname = %s",
        (role["name"],),
    ).fetchone()
    if row is None:
        return None
    switches = {key: now for key, now in zip(SWITCHES, row, strict=True) if key in role or now}
    there = held(connection, role["name"])
    roles = {"roles": same(role.get("roles"), there)} if there or role.get("roles") else {}
    return {**role, **switches, **roles}


def _delete_role(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    """What it owns in this database goes to who deletes it; in others the server refuses."""
    for words in (
        *("REASSIGN OWNED BY {} TO CURRENT_USER", "DROP OWNED BY {}"),
        "DROP ROLE {}",
    ):
        connection.execute(text(words, role["name"]))


def create_database(connection: psycopg.Connection, database: Mapping[str, Any]) -> None:
    """createDatabase."""
    words = ["CREATE DATABASE {}"]
    parts: list[str | sql.Composable] = [database["name"]]
    if database.get("owner"):
        words.append("OWNER {}")
        parts.append(database["owner"])
    for key, word in LOCALES.items():
        if database.get(key):
            words.append(f"{word} {{}}")
            parts.append(database[key] if key == "template" else sql.Literal(database[key]))
    connection.execute(text(" ".join(words), *parts))


def _update_database(connection: psycopg.Connection, database: Mapping[str, Any]) -> None:
    connection.execute(text("ALTER DATABASE {} OWNER TO {}", database["name"], database["owner"]))


def _read_database(
    connection: psycopg.Connection, database: Mapping[str, Any]
) -> dict[str, Any] | None:
    row = connection.execute(
        "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype"
        " FROM pg_database WHERE datname = %s",
        (database["name"],),
    ).fetchone()
    if row is None:
        return None
    keys = ("owner", "encoding", "lcCollate", "lcCtype")
    now = {key: value for key, value in zip(keys, row, strict=True) if key in database}
    return {**database, **now}


def _delete_database(connection: psycopg.Connection, database: Mapping[str, Any]) -> None:
    connection.execute(text("DROP DATABASE {} WITH (FORCE)", database["name"]))


def grant(connection: psycopg.Connection, given: Mapping[str, Any]) -> None:
    """createRevokeQuery and createGrantQuery for databases: all is revoked first."""
    with connection.transaction():
        _revoke(connection, given)
        for privilege in given["privileges"]:
            connection.execute(
                text(f"GRANT {privilege} ON DATABASE {{}} TO {{}}", given["database"], _who(given))
            )


def _revoke(connection: psycopg.Connection, given: Mapping[str, Any]) -> None:
    with connection.transaction():
        # At once on one database they end with "tuple concurrently updated" (pgLockDatabase).
        connection.execute(
            "SELECT pg_advisory_xact_lock(oid::bigint) FROM pg_database WHERE datname = %s",
            (given["database"],),
        )
        words = text("REVOKE ALL ON DATABASE {} FROM {}", given["database"], _who(given))
        connection.execute(words)


def _read_grant(connection: psycopg.Connection, given: Mapping[str, Any]) -> dict[str, Any] | None:
    public = given["role"] == "public"
    rows = connection.execute(
        "SELECT privilege_type FROM pg_database,"
        " aclexplode(coalesce(datacl, acldefault('d', datdba)))"
        " WHERE datname = %s AND grantee = CASE WHEN %s THEN 0 ELSE"
        " (SELECT oid FROM pg_roles WHERE rolname = %s) END",
        (given["database"], public, given["role"]),
    ).fetchall()
    there = connection.execute(
        "SELECT 1 FROM pg_database WHERE datname = %s", (given["database"],)
    ).fetchone()
    if there is None:
        return None
    return {**given, "privileges": same(given["privileges"], [str(name) for (name,) in rows])}


def create_extension(connection: psycopg.Connection, given: Mapping[str, Any]) -> None:
    """resourcePostgreSQLExtensionCreate, in the extension's own database."""
    more = " CASCADE" if given.get("createCascade") else ""
    connection.execute(text(f"CREATE EXTENSION IF NOT EXISTS {{}}{more}", given["name"]))


def _made_extension(step: Step) -> dict[str, Any]:
    with connected(step, step.inputs["database"]) as connection:
        create_extension(connection, step.inputs)
    return {}


def _found_extension(step: Step) -> dict[str, Any] | None:
    given = step.existing.inputs
    with connected(step, given["database"]) as connection:
        row = connection.execute(
            "SELECT 1 FROM pg_extension WHERE extname = %s", (given["name"],)
        ).fetchone()
    return dict(given) if row else None


def _deleted_extension(step: Step) -> None:
    given = step.existing.inputs
    with connected(step, given["database"]) as connection:
        connection.execute(text("DROP EXTENSION {}", given["name"]))


def _who(given: Mapping[str, Any]) -> sql.Composable:
    return sql.SQL("PUBLIC") if given["role"] == "public" else sql.Identifier(given["role"])


def text(template: str, *parts: "str | sql.Composable") -> sql.Composed:
    """`template` with its parts quoted; plain text is an identifier."""
    return sql.SQL(template).format(
        *(sql.Identifier(part) if isinstance(part, str) else part for part in parts)
    )


def _act(kind: str, create: Any, read: Any, update: Any, delete: Any) -> Act:
    """An act of functions that take a connection and the resource's inputs."""

    def created(step: Step) -> dict[str, Any]:
        with connected(step) as connection:
            create(connection, step.inputs)
        return {}

    def updated(step: Step) -> dict[str, Any]:
        old, new = step.existing.inputs.get("name"), step.inputs.get("name")
        with connected(step) as connection:
            if old != new:
                connection.execute(text(f"ALTER {kind} {{}} RENAME TO {{}}", str(old), str(new)))
            update(connection, step.inputs)
        return {}

    def found(step: Step) -> Any:
        with connected(step) as connection:
            return read(connection, step.existing.inputs)

    def deleted(step: Step) -> None:
        with connected(step) as connection:
            delete(connection, step.existing.inputs)

    return Act(create=created, read=found, update=updated, delete=deleted)


register(ROLE, _act("ROLE", create_role, _read_role, update_role, _delete_role))
register(
    DATABASE, _act("DATABASE", create_database, _read_database, _update_database, _delete_database)
)
register(
    EXTENSION,
    Act(
        create=_made_extension,
        read=_found_extension,
        update=_made_extension,
        delete=_deleted_extension,
    ),
)
register(GRANT, _act("", grant, _read_grant, grant, _revoke))
