"""Around the image's own start: its secrets, and a first start that was killed begins again.

SQLite keeps half a migration (alembic/ddl/sqlite.py), and most of Open WebUI's make their tables
without a look whether they are there (backend/open_webui/migrations/versions): the next start
fails at them, only logs it, and goes on with the tables that it has (backend/open_webui/config.py,
run_migrations). The administrator is made last, so nobody was ever here without a login (#10.3).
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

SECRETS = Path("/run/secrets")
DATA = Path("data")  # in the image's working directory
# What is in a database before anybody is: its version, settings, and a user without a login.
BEFORE = {"alembic_version", "migratehistory", "config", "user"}


def held(database: Path) -> Iterator[str]:
    """The tables with something of somebody in them."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)) as session:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for (name,) in session.execute(query).fetchall():
            found = session.execute(f'SELECT EXISTS (SELECT 1 FROM "{name}")')  # noqa: S608
            if found.fetchone() == (1,):
                yield name


def begin_again(data: Path) -> bool:
    """Remove what a first start left unfinished; the models that came with the image stay."""
    database = data / "webui.db"
    if not database.exists() or not set(held(database)) <= BEFORE:
        return False
    shutil.rmtree(data / "vector_db", ignore_errors=True)
    # SQLite ignores the journals of a database that is not there.
    for end in ("", "-journal", "-wal", "-shm"):
        database.with_name(f"{database.name}{end}").unlink(missing_ok=True)
    return True


if __name__ == "__main__":
    try:
        if begin_again(DATA):
            print("The first start was interrupted: it begins again.", flush=True)
    except sqlite3.DatabaseError as error:  # not what a killed start leaves behind
        print(f"{DATA / 'webui.db'} cannot be read, and stays as it is: {error}", flush=True)
    # Each file is a variable, as the image reads its secrets from nothing else.
    for file in SECRETS.iterdir() if SECRETS.is_dir() else ():
        os.putenv(file.name, file.read_text())
    os.execvp("bash", ["bash", "start.sh"])  # noqa: S606 - the image's own command
