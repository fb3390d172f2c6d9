"""PostgreSQL as the layer starts it: on the volume, over TLS only, with the newest password."""

import re
from pathlib import Path

import psycopg
import pytest

from layers.services.postgresql import DATABASES, FOLDER, RESERVED, ROLES
from settings import images
from tests.harness.certificates import Authority
from tests.harness.deploy import deploy
from tests.harness.postgresql import version
from tests.layers.containers import container, files, published, variables, world
from tests.layers.services.running import connect, running


def test_tests_run_the_version_that_the_lab_runs() -> None:
    """Debian 12 has 15, which lacks pg_use_reserved_connections (#10.2)."""
    (major,) = re.findall(r":(\d+)\.", images.image("postgresql"))
    assert version().partition(".")[0] == major


def test_volume_is_where_version_18_keeps_its_data() -> None:
    inputs = container(world("dev")["services"], "postgresql")
    assert [v["containerPath"] for v in inputs["volumes"]] == ["/var/lib/postgresql"]
    assert published(inputs) == {5432: 5432}


def test_health_check_does_not_take_the_image_s_preparing_server_for_the_real_one() -> None:
    tests = container(world("dev")["services"], "postgresql")["healthcheck"]["tests"]
    assert tests[:2] == ["CMD", "pg_isready"]
    assert tests[tests.index("-h") + 1] == "127.0.0.1"


def test_secrets_are_files_of_the_server_s_own_user() -> None:
    inputs = container(world("dev")["services"], "postgresql")
    for path in (f"{FOLDER}/server.key", "/run/secrets/postgresql-admin"):
        assert files(inputs)[path]["permissions"] == "0400"
        assert files(inputs)[path]["owner"] == "999"
    assert variables(inputs) == {"POSTGRES_PASSWORD_FILE": "/run/secrets/postgresql-admin"}


def test_roles_have_no_more_rights_than_their_work_needs() -> None:
    roles = {r.inputs["name"]: r.inputs for r in world("dev")["services"].all("Role")}
    assert set(roles) == set(ROLES)
    makers = {name for name, role in roles.items() if role["createDatabase"]}
    assert makers == {"provisioner"}
    assert {n for n, role in roles.items() if role["createRole"]} == {"provisioner", "vault"}
    assert not any(role.get("superuser") for role in roles.values())


def test_nobody_but_the_owner_enters_a_database() -> None:
    layer = world("dev")["services"]
    grants = {g.inputs["database"]: g.inputs for g in layer.all("Grant")}
    for name in DATABASES:
        database = layer.one("Database", f"{name}-database")
        assert database.inputs["owner"] == name
        assert database.protect
        assert grants[name]["role"] == "public"
        assert grants[name]["privileges"] == []


def test_nobody_but_the_labs_own_enters_the_databases_of_all() -> None:
    """There an advisory lock stops every other project's provisioning."""
    layer = world("dev")["services"]
    for name, users in {"postgres": {"provisioner", "vault"}, "template1": set()}.items():
        grants = [g.inputs for g in layer.all("Grant") if g.inputs["database"] == name]
        rights = {g["role"]: g["privileges"] for g in grants}
        assert rights == {"public": [], **{user: ["CONNECT"] for user in users}}


@pytest.mark.parametrize("connections", [20, 100, 1000])
def test_other_projects_leave_connections_for_the_lab(connections: int) -> None:
    layer = deploy("dev", {"services.postgresql.max_connections": connections})["services"]
    text = files(container(layer, "postgresql"))[f"{FOLDER}/postgresql.conf"]["content"]
    (kept,) = re.findall(r"(?m)^reserved_connections = (\d+)$", text)
    assert 5 <= int(kept) < connections - 3  # superuser_reserved_connections
    made = {role.name: role.inputs["roles"] for role in layer.all("postgresql:index/role:Role")}
    assert made == {f"{name}-role": [RESERVED] for name in ROLES}


def test_memberships_that_provisioning_grants_are_no_drift() -> None:
    for role in world("dev")["services"].all("postgresql:index/role:Role"):
        assert "roles" in role.ignore_changes


@pytest.mark.parametrize("variant", ["dev", "lab"])
def test_provider_checks_the_server_that_it_talks_to(variant: str) -> None:
    provider = world(variant)["services"].one("pulumi:providers:postgresql", "postgresql").inputs
    address = {"dev": "127.0.0.1", "lab": "192.168.1.202"}[variant]
    assert provider["host"] == address
    assert provider["sslmode"] == "verify-full"
    assert provider["sslrootcert"].startswith(".state/ca-")


@pytest.mark.service
def test_a_renewed_password_counts_from_the_next_start_and_data_stay(tmp_path: Path) -> None:
    authority = Authority()
    pair = authority.server("postgresql")
    with running(tmp_path, authority, pair, "first-password") as port:
        with connect(tmp_path, port, "first-password", "verify-full") as session:
            session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            assert session.execute("SHOW max_connections").fetchone() == ("100",)
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            connect(tmp_path, port, "first-password", "disable")
    with running(tmp_path, authority, pair, "second-password") as port:
        with connect(tmp_path, port, "second-password", "verify-full") as session:
            assert session.execute("SELECT answer FROM kept").fetchone() == (42,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(tmp_path, port, "first-password", "require")
    log = (tmp_path / "log").read_text()
    assert "second-password" not in log
