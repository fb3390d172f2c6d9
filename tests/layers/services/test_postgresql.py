"""PostgreSQL as the layer starts it: on the volume, over TLS only, with the newest password."""

import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from layers.services.postgresql import DATABASES, FOLDER, RESERVED, ROLES, WORKERS
from settings import images
from tests.harness.certificates import Authority
from tests.harness.deploy import deploy_on_sample
from tests.harness.postgresql import version
from tests.layers.containers import container, files, published, variables, world
from tests.layers.services.running import connect, kill, prepared, running


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
    assert set(roles) == {*ROLES, "provisioner-login", "vault-login"}
    makers = {name for name, role in roles.items() if role.get("createDatabase")}
    assert makers == {"provisioner"}
    assert {n for n, role in roles.items() if role.get("createRole")} == {"provisioner", "vault"}
    assert not any(role.get("superuser") for role in roles.values())


def test_what_makes_roles_does_not_log_in_and_never_changes() -> None:
    """The provider takes a role's memberships away whenever its password changes (#10.2)."""
    layer = world("dev")["services"]
    for name in ("provisioner", "vault"):
        worker = layer.one("postgresql:index/role:Role", f"{name}-role")
        assert worker.inputs["login"] is False
        assert not {"password", "roles"} & worker.inputs.keys()
        assert {"login", "password", "roles"} <= set(worker.ignore_changes)
        login = layer.one("postgresql:index/role:Role", f"{name}-login")
        assert login.inputs["assumeRole"] == name
        assert set(login.inputs["roles"]) == {name, RESERVED}
        assert "password" in login.secret
        assert not login.ignore_changes


def test_nobody_but_the_owner_and_its_guests_enters_a_database() -> None:
    layer = world("dev")["services"]
    guests = {
        "lakehouse": {
            "lakehouse-secure": ["CONNECT", "CREATE", "TEMPORARY"],
            "lakehouse-reader": ["CONNECT"],
        }
    }
    for name in DATABASES:
        database = layer.one("Database", f"{name}-database")
        assert database.inputs["owner"] == name
        assert database.protect
        grants = [g.inputs for g in layer.all("Grant") if g.inputs["database"] == name]
        rights = {g["role"]: g["privileges"] for g in grants}
        assert rights == {"public": [], **guests.get(name, {})}


def test_nobody_but_the_labs_own_enters_the_databases_of_all() -> None:
    """There an advisory lock stops every other project's provisioning."""
    layer = world("dev")["services"]
    for name, users in {"postgres": {"provisioner", "vault"}, "template1": set()}.items():
        grants = [g.inputs for g in layer.all("Grant") if g.inputs["database"] == name]
        rights = {g["role"]: g["privileges"] for g in grants}
        assert rights == {"public": [], **{user: ["CONNECT"] for user in users}}


@pytest.mark.parametrize("connections", [20, 100, 1000])
def test_other_projects_leave_connections_for_the_lab(connections: int) -> None:
    layer = deploy_on_sample(
        "services", "dev", {"services.postgresql.max_connections": connections}
    )
    text = files(container(layer, "postgresql"))[f"{FOLDER}/postgresql.conf"]["content"]
    (kept,) = re.findall(r"(?m)^reserved_connections = (\d+)$", text)
    assert 5 <= int(kept) < connections - 3  # superuser_reserved_connections
    made = [r.inputs for r in layer.all("postgresql:index/role:Role") if r.inputs["login"]]
    assert len(made) == len(ROLES)
    assert all(RESERVED in role["roles"] for role in made)


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


@pytest.mark.service
def test_roles_that_logged_in_themselves_do_not_after_a_start(tmp_path: Path) -> None:
    """Labs that began before #10.2 have such roles; the provider would take what they hold."""
    authority = Authority()
    pair = authority.server("postgresql")
    query = "SELECT rolname, rolcanlogin, rolpassword FROM pg_authid WHERE rolname = ANY(%s)"
    names = [*WORKERS, "mlflow"]
    with running(tmp_path, authority, pair, "a") as port, connect(tmp_path, port, "a") as session:
        for name in names:
            session.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'old'".encode())
        session.execute("CREATE ROLE made; GRANT made TO vault WITH ADMIN OPTION")
    with running(tmp_path, authority, pair, "a") as port, connect(tmp_path, port, "a") as session:
        found = {name: (may, secret) for name, may, secret in session.execute(query, (names,))}
        assert found.pop("mlflow")[0] is True
        assert found == dict.fromkeys(WORKERS, (False, None))
        assert session.execute("SELECT pg_has_role('vault', 'made', 'USAGE')").fetchone() == (True,)


# What initdb leaves behind, step by step, until the server itself has started.
STEPS = {
    "a folder": lambda data: data.is_dir(),
    "its first file": lambda data: (data / "PG_VERSION").exists(),
    "a control file": lambda data: (data / "global/pg_control").exists(),
    "the catalogue": lambda data: (data / "global/pg_filenode.map").exists(),
    "template0": lambda data: (data / "base/4").exists(),
    "the database postgres": lambda data: (data / "base/5/PG_VERSION").exists(),
    "a server's start": lambda data: (data / "postmaster.opts").exists(),
}


@pytest.mark.service
@pytest.mark.parametrize("step", STEPS)
def test_a_first_start_killed_at_any_step_is_begun_again(step: str, tmp_path: Path) -> None:
    """PG_VERSION without pg_control: PANIC and a restart loop on a protected volume (#10.3)."""
    authority = Authority()
    pair = authority.server("postgresql")
    killed = prepared(tmp_path, authority, pair, "password")
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(
            killed.command, env=killed.environment, cwd=tmp_path, stdout=log, stderr=log
        )
    while not STEPS[step](killed.data):
        assert process.poll() is None, (tmp_path / "log").read_text()
    kill(process.pid)
    process.wait()
    with running(tmp_path, authority, pair, "password") as port:
        connect(tmp_path, port, "password").close()


@pytest.mark.service
@pytest.mark.parametrize("kept", ["mark", "databases", "label"])
def test_data_are_never_taken_for_an_interrupted_start(kept: str, tmp_path: Path) -> None:
    """Nor those of labs that are older than the rule, nor a copy that pg_basebackup made."""
    authority = Authority()
    pair = authority.server("postgresql")
    with running(tmp_path, authority, pair, "a") as port, connect(tmp_path, port, "a") as session:
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        if kept == "databases":
            session.execute("CREATE DATABASE mlflow")
    data = tmp_path / "data"
    if kept != "mark":
        (data / "postmaster.opts").unlink()
    if kept == "label":
        (data / "backup_manifest").touch()
    with running(tmp_path, authority, pair, "a") as port, connect(tmp_path, port, "a") as session:
        assert session.execute("SELECT answer FROM kept").fetchone() == (42,)
