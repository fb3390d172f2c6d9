"""A real PostgreSQL server (Debian's package) with its data in a folder of the test."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.harness.process import clean_environment, free_port, server

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


def binaries() -> Path:
    """The folder of initdb and postgres; Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise FileNotFoundError("initdb: apt-get install postgresql (tests/packages.txt)")
    return found[-1].parent if found else Path(str(on_path)).parent


@contextmanager
def postgresql(folder: Path, **settings: str) -> Iterator[PostgreSql]:
    """Run a server with scram-sha-256 logins; `settings` are lines of postgresql.conf."""
    tools, data, port = binaries(), folder / "data", free_port()
    secret = folder / "password"
    secret.write_text(PASSWORD)
    # PostgreSQL refuses to run as root.
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    if os.getuid() != 0:
        prefix = []
    else:
        owner = pwd.getpwnam("postgres")
        for place in (folder, secret):
            os.chown(place, owner.pw_uid, owner.pw_gid)
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
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
