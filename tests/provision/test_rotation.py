"""Passwords of the roles that make others are rotated, and what they made stays theirs (#10.2)."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from layers.services.postgresql import FOLDER, RESERVED, WORKERS, login
from rehearsal.acts.postgresql import create_role, update_role
from tests.layers.containers import container, files, world
from tests.provision.lab import Lab, lab, password

pytestmark = pytest.mark.service


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


def registered(role: str) -> dict[str, Any]:
    """What the program says of the login of `role`."""
    return world("dev")["services"].one("postgresql:index/role:Role", login(role)).inputs


def rotate(servers: Lab) -> None:
    """`./lab secrets rotate` of both: the provider's update, then the records in Vault."""
    with servers.postgres.connect() as connection:
        for role in WORKERS:
            update_role(connection, {**registered(role), "password": f"{role}-rotated"})
    servers.tell_vault({role: (login(role), f"{role}-rotated") for role in WORKERS})


def provision(servers: Lab, name: str) -> None:
    """A database with a password, and one whose users Vault makes."""
    for mode in ("static", "dynamic"):
        wanted = {"database": f"{name}_{mode}", "user": f"{name}_{mode}", "mode": mode}
        code, output = servers.run(*servers.ask(42, "postgres", **wanted))
        assert code == 0, output


def vault_user(servers: Lab, name: str) -> str:
    """A user that Vault makes, who owns a table and is connected no more."""
    answer: Any = servers.bao.client().read(f"database/creds/project-42-{name}_dynamic")
    user = answer["data"]["username"]
    with servers.postgres.connect(f"{name}_dynamic", user, answer["data"]["password"]) as session:
        session.execute("CREATE TABLE IF NOT EXISTS made (a int)")
    return str(user)


def vault_users(servers: Lab) -> set[str]:
    with servers.postgres.connect() as connection:
        rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")
        return {name for (name,) in rows}


def drop_users(servers: Lab, name: str) -> None:
    servers.bao.client().write_data(
        f"sys/leases/revoke-prefix/database/creds/project-42-{name}_dynamic"
    )


def test_provisioning_and_vault_go_on_after_a_rotation(servers: Lab) -> None:
    provision(servers, "before")
    early = vault_user(servers, "before")
    rotate(servers)
    for role in WORKERS:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            servers.postgres.connect(user=login(role), password=password(role))
    provision(servers, "before")
    provision(servers, "after")
    late = {vault_user(servers, "before"), vault_user(servers, "after")}
    assert vault_users(servers) == {early, *late}
    for name in ("before", "after"):
        drop_users(servers, name)
    assert vault_users(servers) == set()


def as_before_the_logins(servers: Lab) -> None:
    """Make the roles what labs have that began before #10.2: the workers log in themselves."""
    with servers.postgres.connect() as connection:
        for role in WORKERS:
            connection.execute(f'DROP ROLE "{login(role)}"'.encode())
            connection.execute(f"ALTER ROLE {role} LOGIN PASSWORD '{password(role)}'".encode())
            connection.execute(f"GRANT {RESERVED} TO {role}".encode())
    servers.tell_vault({role: (role, password(role)) for role in WORKERS})


def test_a_lab_that_began_without_the_logins_gets_them(servers: Lab) -> None:
    as_before_the_logins(servers)
    provision(servers, "old")
    early = vault_user(servers, "old")
    with servers.postgres.connect() as connection:
        # What a rotation was in such a lab: refused, as both have given on what they were given.
        for role in WORKERS:
            with pytest.raises(psycopg.errors.DependentObjectsStillExist):
                update_role(connection, {"name": role, "roles": [RESERVED], "password": "new"})
        # `up`: the server starts with the file's statements, then the provider makes the logins.
        layer = world("dev")["services"]
        statements = files(container(layer, "postgresql"))[f"{FOLDER}/workers.sql"]["content"]
        for _ in range(2):
            connection.execute(statements.encode())
            assert logins(connection) == {("provisioner", False, False), ("vault", False, False)}
        for role in WORKERS:
            create_role(connection, {**registered(role), "password": password(role)})
    servers.tell_vault({role: (login(role), password(role)) for role in WORKERS})
    provision(servers, "old")
    late = {vault_user(servers, "old")}
    rotate(servers)
    provision(servers, "old")
    provision(servers, "new")
    late.add(vault_user(servers, "new"))
    assert vault_users(servers) == {early, *late}
    for name in ("old", "new"):
        drop_users(servers, name)
    assert vault_users(servers) == set()


def logins(connection: psycopg.Connection) -> set[tuple[str, bool, bool]]:
    """Of the workers: name, whether it may log in, whether it has a password."""
    rows = connection.execute(
        "SELECT rolname, rolcanlogin, rolpassword IS NOT NULL FROM pg_authid"
        " WHERE rolname IN ('provisioner', 'vault')"
    )
    return {(name, may, has) for name, may, has in rows}
