"""A real MLflow server and the model server, from the requirements of their images."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from layers.services.mlflow import USERS_FILE
from settings.images import PATH
from settings.services.mlflow import ADMIN, READER
from tests.harness.process import clean_environment, free_port, listens, server
from toolchain import pip_config
from toolchain.kept import cached

ROOT = PATH.parent
MLFLOW, MODEL_SERVER = "images/mlflow", "apps/model_server"


def programs(context: str) -> Path:
    """The programs of an image's requirements; their folder."""
    return install(context.replace("/", "-"), ROOT / context / "requirements.txt")


def install(name: str, requirements: Path) -> Path:
    """Install requirements, once per content; the folder of their programs."""
    # The machine may tell Python to write none: each start of MLflow then compiled for 6 s.
    compiled = "--compile-bytecode"
    key = hashlib.sha256(requirements.read_bytes() + compiled.encode()).hexdigest()[:12]
    uv = str(Path(sys.executable).with_name("uv"))

    def fill(folder: Path) -> None:
        env, options = pip_config.uv_environment(Path(sys.executable))
        # Relocatable, as the cache renames it when it is complete.
        make = [uv, "venv", "-q", "--relocatable", "-p", sys.executable, str(folder)]
        # The cache's folder is there already.
        subprocess.run([*make, "--allow-existing"], check=True)
        python = ["-p", str(folder / "bin/python")]
        pip = [uv, "pip", "sync", "-q", "--require-hashes", compiled, *python, *options]
        subprocess.run([*pip, str(requirements)], check=True, env=env)

    return cached(f"{name}-{key}", fill) / "bin"


ADMINS_PASSWORD, READERS_PASSWORD = "password-of-admin", "password-of-reader"


def users(database: str) -> str:
    """The file of the server's users, as the lab writes it."""
    return USERS_FILE.format(database, ADMIN, ADMINS_PASSWORD, READER, READERS_PASSWORD)


def login(user: str, password: str) -> dict[str, str]:
    """Variables of a client."""
    return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


@contextmanager
def mlflow(folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the image's own start script; its URL.

    Its store is SQLite and a folder unless `variables` of the container say otherwise.
    """
    port, tools, known = free_port(), programs(MLFLOW), folder / "users.ini"
    known.write_text(users(f"sqlite:///{folder}/mlflow.db"))
    own = {
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_AUTH_CONFIG_PATH": str(known),
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_WORKERS": "1",
        "HEALTH_HOST": "localhost",
        "PYTHONPATH": str(ROOT / MLFLOW / "plugin"),
        **(variables or {}),
        "MLFLOW_HOST": "127.0.0.1",
        "MLFLOW_PORT": str(port),
    }
    env = clean_environment(**own, PATH=f"{tools}:/usr/bin:/bin", HOME=str(folder))

    def healthy() -> bool:
        if not listens(port):
            return False
        command = [tools / "python", ROOT / "images/mlflow/health.py"]
        done = subprocess.run(command, env=env, capture_output=True, check=False)
        return done.returncode == 0

    start: list[str | Path] = ["/bin/sh", ROOT / "images/mlflow/start.sh"]
    with server(start, healthy, folder / "mlflow.log", env=env, cwd=folder, seconds=300):
        yield f"http://127.0.0.1:{port}"
