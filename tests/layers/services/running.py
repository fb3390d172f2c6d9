"""PostgreSQL as the layer starts it: its own script and configuration around a real server."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from layers.services.postgresql import FOLDER
from tests.harness.certificates import Authority, Pair
from tests.harness.postgresql import as_user, binaries, give
from tests.harness.process import clean_environment, free_port, server, wait_for
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


@dataclass(frozen=True)
class Prepared:
    """The layer's own start script and configuration in a folder, with what they are run with."""

    folder: Path
    port: int
    environment: dict[str, str]

    @property
    def command(self) -> list[str]:
        return ["bash", str(self.folder / "start.sh")]

    @property
    def data(self) -> Path:
        return self.folder / "data"


def prepared(folder: Path, authority: Authority, pair: Pair, password: str) -> Prepared:
    """Write into `folder` what the container has, around a real PostgreSQL."""
    port = free_port()
    given = files(container(world("dev")["services"], "postgresql"))
    written = {
        "postgresql.conf": given[CONFIG]["content"]
        .replace(FOLDER, str(folder))
        .replace("port = 5432", f"port = {port}")
        .replace("listen_addresses = '*'", "listen_addresses = '127.0.0.1'")
        + "unix_socket_directories = ''\n",
        **{
            name: given[f"{FOLDER}/{name}"]["content"]
            for name in ("start.sh", "workers.sql", "pg_hba.conf")
        },
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
    return Prepared(folder, port, environment)


@contextmanager
def running(folder: Path, authority: Authority, pair: Pair, password: str) -> Iterator[int]:
    """Run what `prepared` wrote; its port."""
    ready = prepared(folder, authority, pair, password)
    with server(
        ready.command,
        lambda: healthy(ready.port),
        folder / "log",
        env=ready.environment,
        cwd=folder,
    ) as process:
        yield ready.port
        # SIGTERM of the harness waits for clients; what was killed here must start again too.
        kill(process.pid)


def kill(parent: int) -> None:
    """Kill a process and all below it, as the end of a container does, and wait until all went."""
    pids = list(family(parent))
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # The server does not start while one of the former's children holds its memory.
    wait_for(lambda: not any(alive(pid) for pid in pids), what="the end of a killed server")


def family(parent: int) -> Iterator[int]:
    """A process and all below it."""
    yield parent
    with suppress(OSError):
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            yield from family(int(child))


def alive(pid: int) -> bool:
    """Whether the process runs; what only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def healthy(port: int) -> bool:
    """The container's own health check, at the test's port."""
    tests = container(world("dev")["services"], "postgresql")["healthcheck"]["tests"]
    command = [binaries() / tests[1], *tests[2:], "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0


def connect(
    folder: Path, port: int, password: str, sslmode: str = "verify-full"
) -> psycopg.Connection:
    """A connection of the superuser."""
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
