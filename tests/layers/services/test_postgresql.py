"""PostgreSQL as the layer starts it: on the volume, over TLS only, with the newest password."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from layers.services.postgresql import DATABASES, FILES, FOLDER, ROLES
from tests.harness.certificates import Authority, Pair
from tests.harness.postgresql import binaries
from tests.harness.process import clean_environment, free_port, server
from tests.layers.containers import container, files, published, variables, world

CONFIG = f"{FOLDER}/postgresql.conf"
# What the image's entry point does with an empty volume, in short.
ENTRYPOINT = """#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  gosu postgres initdb -D "$PGDATA" -U postgres --pwfile="$POSTGRES_PASSWORD_FILE" \\
    --auth=scram-sha-256 --no-sync >/dev/null
fi
exec gosu postgres "$@"
"""
GOSU = """#!/bin/sh
shift
exec {prefix} "$@"
"""


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


@pytest.mark.parametrize("variant", ["dev", "lab"])
def test_provider_checks_the_server_that_it_talks_to(variant: str) -> None:
    provider = world(variant)["services"].one("pulumi:providers:postgresql", "postgresql").inputs
    address = {"dev": "127.0.0.1", "lab": "192.168.1.202"}[variant]
    assert provider["host"] == address
    assert provider["sslmode"] == "verify-full"
    assert provider["sslrootcert"].startswith(".state/ca-")


@contextmanager
def running(folder: Path, authority: Authority, pair: Pair, password: str) -> Iterator[int]:
    """The layer's own start script and configuration around Debian's PostgreSQL; its port."""
    port = free_port()
    inputs = container(world("dev")["services"], "postgresql")
    written = {
        "postgresql.conf": files(inputs)[CONFIG]["content"]
        .replace(FOLDER, str(folder))
        .replace("port = 5432", f"port = {port}")
        .replace("listen_addresses = '*'", "listen_addresses = '127.0.0.1'")
        + "unix_socket_directories = ''\n",
        "start.sh": (FILES / "postgresql.sh").read_text(),
        "pg_hba.conf": (FILES / "pg_hba.conf").read_text(),
        "server.crt": pair.certificate,
        "server.key": pair.key,
        "password": password,
        "ca.crt": authority.pem,
    }
    root = os.getuid() == 0
    owner = pwd.getpwnam("postgres") if root else None
    for name, text in written.items():
        path = folder / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o400 if name in {"server.key", "password"} else 0o644)
        if owner:
            os.chown(path, owner.pw_uid, owner.pw_gid)
    if owner:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        for parent in folder.parents[:3]:
            parent.chmod(parent.stat().st_mode | 0o011)
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    prefix = "setpriv --reuid=postgres --regid=postgres --clear-groups" if root else ""
    for name, text in (
        ("gosu", GOSU.format(prefix=prefix)),
        ("docker-entrypoint.sh", ENTRYPOINT),
    ):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = clean_environment(
        PATH=f"{tools}:{binaries()}:{os.environ['PATH']}",
        PGDATA=str(folder / "data"),
        POSTGRES_PASSWORD_FILE=str(folder / "password"),
    )
    command: list[str | Path] = ["bash", folder / "start.sh"]
    with server(
        command, lambda: healthy(port), folder / "log", env=environment, cwd=folder
    ) as process:
        yield port
        # SIGTERM of the harness waits for clients; what was killed here must start again too.
        process.kill()


def healthy(port: int) -> bool:
    """The container's own health check, at the test's port."""
    tests = container(world("dev")["services"], "postgresql")["healthcheck"]["tests"]
    command = [binaries() / tests[1], *tests[2:], "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0


def connect(folder: Path, port: int, password: str, sslmode: str) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1",
        port=port,
        user="postgres",
        dbname="postgres",
        password=password,
        sslmode=sslmode,
        sslrootcert=str(folder / "ca.crt"),
        autocommit=True,
    )


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
