"""What terraform-provider-postgresql does with a lab's roles, databases and grants, as SQL.

Read at ff936b94; the parts of its statements that matter to the lab's own inputs, in its order.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from tests.harness.deploy import Deployed

SWITCHES = {"createDatabase": "CREATEDB", "createRole": "CREATEROLE", "login": "LOGIN"}


def create_all(connection: psycopg.Connection, layer: Deployed, given: Mapping[str, str]) -> None:
    """Make what the services layer registered; `given` maps a login to its password."""
    for role in layer.all("postgresql:index/role:Role"):
        name = role.inputs["name"]
        secret = {"password": given[name]} if role.inputs.get("password") else {}
        create_role(connection, {**role.inputs, **secret})
    for database in layer.all("postgresql:index/database:Database"):
        wanted = database.inputs
        connection.execute(
            _text(
                "CREATE DATABASE {} OWNER {} TEMPLATE template0 LC_COLLATE {} LC_CTYPE {}",
                *(wanted["name"], wanted["owner"]),
                *(sql.Literal(wanted[key]) for key in ("lcCollate", "lcCtype")),
            )
        )
    for grant in layer.all("postgresql:index/grant:Grant"):
        _grant(connection, grant.inputs)


def create_role(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    """resourcePostgreSQLRoleCreate."""
    with connection.transaction():
        words = " ".join(word if role.get(key) else f"NO{word}" for key, word in SWITCHES.items())
        connection.execute(_text(f"CREATE ROLE {{}} WITH {words}", role["name"]))
        _password(connection, role)
        _memberships(connection, role)
        if role.get("assumeRole"):
            connection.execute(_text("ALTER ROLE {} SET ROLE TO {}", *_pair(role, "assumeRole")))


def update_role(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    """resourcePostgreSQLRoleUpdate, whatever changed: memberships are revoked and granted."""
    with connection.transaction():
        _password(connection, role)
        held = connection.execute(
            "SELECT pg_get_userbyid(roleid) FROM pg_auth_members"
            " JOIN pg_roles ON member = pg_roles.oid WHERE rolname = %s",
            (role["name"],),
        ).fetchall()
        for (granted,) in held:
            connection.execute(_text("REVOKE {} FROM {}", granted, role["name"]))
        _memberships(connection, role)


def _memberships(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    for granted in role.get("roles") or []:
        connection.execute(_text("GRANT {} TO {}", granted, role["name"]))


def _password(connection: psycopg.Connection, role: Mapping[str, Any]) -> None:
    if role.get("password"):
        secret = sql.Literal(role["password"])
        connection.execute(_text("ALTER ROLE {} PASSWORD {}", role["name"], secret))


def _grant(connection: psycopg.Connection, grant: Mapping[str, Any]) -> None:
    """createGrantQuery and createRevokeQuery for databases: all is revoked first."""
    public = grant["role"] == "public"
    who = sql.SQL("PUBLIC") if public else sql.Identifier(grant["role"])
    connection.execute(_text("REVOKE ALL ON DATABASE {} FROM {}", grant["database"], who))
    for privilege in grant["privileges"]:
        connection.execute(
            _text(f"GRANT {privilege} ON DATABASE {{}} TO {{}}", grant["database"], who)
        )


def _pair(role: Mapping[str, Any], key: str) -> tuple[str, str]:
    return role["name"], role[key]


def _text(template: str, *parts: "str | sql.Composable") -> sql.Composed:
    """`template` with its parts quoted; plain text is an identifier."""
    return sql.SQL(template).format(
        *(sql.Identifier(part) if isinstance(part, str) else part for part in parts)
    )
