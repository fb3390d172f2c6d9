"""A lab's roles, databases and grants in a test's server, as its provider makes them."""

from collections.abc import Mapping

import psycopg

from rehearsal.acts import postgresql
from tests.harness.deploy import Deployed


def create_all(connection: psycopg.Connection, layer: Deployed, given: Mapping[str, str]) -> None:
    """Make what the services layer registered; `given` maps a login to its password."""
    for role in layer.all("postgresql:index/role:Role"):
        name = role.inputs["name"]
        secret = {"password": given[name]} if role.inputs.get("password") else {}
        postgresql.create_role(connection, {**role.inputs, **secret})
    for database in layer.all("postgresql:index/database:Database"):
        postgresql.create_database(connection, database.inputs)
    for grant in layer.all("postgresql:index/grant:Grant"):
        postgresql.grant(connection, grant.inputs)
