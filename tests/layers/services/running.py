"""PostgreSQL as the layer starts it: its own script and configuration around a real server."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from layers.services.postgresql import FILES, FOLDER
from tests.harness.certificates import Authority, Pair
from tests.harness.postgresql import as_user, binaries, give
from tests.harness.process import clean_environment, free_port, server
from tests.layers.containers import container, files, world

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


@contextmanager
def running(folder: Path, authority: Authority, pair: Pair, password: str) -> Iterator[int]:
    """The layer's own start script and configuration around a real PostgreSQL; its port."""
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
    for name, text in written.items():
        path = folder / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o400 if name in {"server.key", "password"} else 0o644)
    give(folder, *(folder / name for name in written))
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    for name, text in (
        ("gosu", GOSU.format(prefix=" ".join(as_user()))),
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
