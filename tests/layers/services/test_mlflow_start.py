"""MLflow's first start makes its tables: killed on the way, the next one finishes it (#10.3)."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from settings.services.mlflow import ADMIN, READER
from tests.harness.mlflow import MLFLOW, ROOT, programs, users
from tests.harness.postgresql import PASSWORD, PostgreSql, postgresql
from tests.harness.process import clean_environment, wait_for

pytestmark = pytest.mark.service

START = ROOT / MLFLOW / "start.sh"


def environment(server: PostgreSql, tools: Path) -> dict[str, str]:
    address = f"postgresql+psycopg://postgres:{PASSWORD}@127.0.0.1:{server.port}/mlflow"
    known = tools / "users.ini"
    known.write_text(users(address))
    return clean_environment(
        MLFLOW_BACKEND_STORE_URI=address,
        MLFLOW_AUTH_CONFIG_PATH=str(known),
        PATH=f"{tools}:{programs(MLFLOW)}:/usr/bin:/bin",
        HOME=str(tools),
    )


def locks(server: PostgreSql) -> bool:
    """Whether a migration holds a table that it changes."""
    with server.connect("mlflow") as session:
        query = (
            "SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL"
            " AND database = (SELECT oid FROM pg_database WHERE datname = 'mlflow')"
        )
        return session.execute(query).fetchone() is not None


def table(server: PostgreSql, name: str) -> bool:
    """Whether a table is there for others to see."""
    with server.connect("mlflow") as session:
        found = session.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    return found == (True,)


def begun(server: PostgreSql) -> bool:
    """Whether the tables that the migrations begin with are there for others to see."""
    return table(server, "experiments")


STEPS: dict[str, Callable[[PostgreSql], bool]] = {
    "making the tables": locks,
    "migrating them": lambda server: begun(server) and locks(server),
    "making the users": lambda server: table(server, "alembic_version_auth"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgreSql]:
    with postgresql(tmp_path) as running:
        with running.connect() as session:
            session.execute("CREATE DATABASE mlflow")
        yield running


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with an `mlflow` that does all but stay as the server."""
    folder = tmp_path / "tools"
    folder.mkdir()
    program = folder / "mlflow"
    real = programs(MLFLOW) / "mlflow"
    program.write_text(f'#!/bin/sh\n[ "$1" = server ] || exec {real} "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("step", STEPS)
def test_a_first_start_killed_in_its_migrations(step: str, server: PostgreSql, tools: Path) -> None:
    env = environment(server, tools)
    first = subprocess.Popen(["sh", START], env=env, start_new_session=True)

    def reached() -> bool:
        assert first.poll() is None, "it ended before the step was seen"
        return STEPS[step](server)

    wait_for(reached, what=step)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = subprocess.run(["sh", START], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with server.connect("mlflow") as session:
        # `db upgrade` goes to the newest version in one transaction.
        assert session.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        found = session.execute("SELECT username FROM users ORDER BY username").fetchall()
        assert found == [(ADMIN,), (READER,)]
