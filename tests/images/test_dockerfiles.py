"""Every Dockerfile built by a real engine, its packages through our own package cache.

No registry of base images can be reached, so a Debian that debootstrap makes stands in for Ubuntu,
and what is built on that for the Python and Node images. Pulumi is the one that ./lab built, and a
folder of the test serves it and the plugins (bases.py).
"""

import json
import shutil
import subprocess
import tarfile
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.ci import images
from layers.apps.model_server import inference_variables
from settings import time_zones
from tests.harness.deploy import settings_of
from tests.harness.docker import engine
from tests.harness.mlflow import users
from tests.harness.pipelines import git
from tests.harness.process import wait_for
from tests.images import bases, building
from tests.images.bases import docker
from toolchain import obtain, pulumi_cli
from toolchain.install import BAKED, ROOT

pytestmark = pytest.mark.service

# Where nothing answers, as it has no network: the writer waits, and is healthy.
LAKE = {
    "postgresql": {"host": "postgresql"},
    "s3": {"endpoint": "https://store:9000", "access_key": "a", "secret_key": "b"},
    "catalogs": {"secure_stage": {"user": "lakehouse-secure", "password": "c"}},
}


def test_debian_13_has_every_time_zone_that_the_settings_take() -> None:
    """PostgreSQL's image is of it, without the package that has former names (#10.11)."""
    with tarfile.open(bases.distribution() / "root.tar") as packed:
        there = {name.partition("usr/share/zoneinfo/")[2] for name in packed.getnames()}
    known = {zone for zone in zoneinfo.available_timezones() if not time_zones.fault(zone)}
    assert len(known) > 400
    assert known - there == set()


@dataclass(frozen=True)
class Built:
    """What `./lab ci images` made: each image's reference, and what the cache was asked for."""

    reference: Mapping[str, str]
    requests: Sequence[str]
    plugins: tuple[str, ...]

    def run(self, image: str, *words: str, **mounts: Path) -> str:
        """Output of a command in a container without a network; mounts: path there -> here."""
        volumes = [f"--volume={here}:{there}" for there, here in mounts.items()]
        return docker("run", "--rm", "--network=none", *volumes, self.reference[image], *words)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """All images, built by the command of the pipelines' job."""
    folder = tmp_path_factory.mktemp("images")
    building.copy(building.here(), folder)
    manifest = json.loads((folder / "out" / images.FILE).read_text())
    plugins = images.recipes()["deployer"].base["PULUMI_PLUGINS"].split()
    with engine(folder) as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", host)
        yield Built(
            reference={name: entry["image"] for name, entry in manifest.items()},
            requests=json.loads((folder / building.REQUESTS).read_text()),
            plugins=tuple(plugin.split("@")[0] for plugin in plugins),
        )
    bases.run("rm", "-rf", folder)  # pytest, which would keep it for a while, is slow


def test_the_packages_came_through_the_cache(built: Built) -> None:
    asked = built.requests
    assert any(path.startswith("/ubuntu/pool/") and "docker-buildx" in path for path in asked)
    assert any(path.startswith("/pypi/") and "pulumi" in path for path in asked)


def test_a_project_of_its_own_finds_the_runners_tools(built: Built, tmp_path: Path) -> None:
    (tmp_path / "provision").mkdir()
    (tmp_path / "provision" / "__main__.py").write_text("raise SystemExit('the job's own')")
    tools = "curl --version && jq --version && git --version && unzip -v && file --version"
    job = f"{tools} && cd /job && provision postgres --help"
    assert "usage: provision" in built.run("runner", "sh", "-ec", job, **{"/job": tmp_path})


def test_the_deployer_has_pulumi_with_its_plugins_and_ansible(built: Built) -> None:
    listed = json.loads(built.run("deployer", "pulumi", "plugin", "ls", "--json"))
    assert {plugin["name"] for plugin in listed} == set(built.plugins)
    command = f"{BAKED}/bin/ansible-playbook --version && docker buildx version && provision --help"
    assert "usage: provision" in built.run("deployer", "sh", "-ec", command)


def test_a_rehearsal_runs_in_the_deployer(built: Built, tmp_path: Path) -> None:
    """As in the job of a fork's merge request; nothing is downloaded, as there is no network."""
    job = tmp_path / "job"
    git(tmp_path, "clone", "-q", f"file://{ROOT}", "job")
    listed = git(ROOT, "ls-files", "--modified", "--others", "--exclude-standard").splitlines()
    for name in listed:  # what is not committed yet
        if (ROOT / name).is_file():
            (job / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, job / name)
    found, mounts = obtain.ensure_pulumi(), {"/job": job}
    if not found.official_host:  # the official download has it, and an own build cannot
        script = Path("pulumi") / pulumi_cli.pinned_version() / pulumi_cli.EXEC_SCRIPT
        mounts[f"/cache/datalab/{script}"] = pulumi_cli.built_folder() / script.name
    command = "cd /job && XDG_CACHE_HOME=/cache ./lab rehearse lab"
    said = built.run("deployer", "sh", "-ec", command, **mounts)
    assert "lab came up, nothing was left to do, and it left nothing" in " ".join(said.split())
    assert (job / ".venv").readlink() == BAKED


@pytest.mark.parametrize(
    ("image", "variables", "health"),
    [
        (
            "mlflow",
            {
                "MLFLOW_BACKEND_STORE_URI": "sqlite:////home/mlflow/db",
                "MLFLOW_AUTH_CONFIG_PATH": "/users.ini",
                "MLFLOW_ARTIFACTS_DESTINATION": "proxied-s3://mlflow/artifacts",
                "MLFLOW_PORT": "5000",
                "MLFLOW_WORKERS": "1",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "HEALTH_HOST": "localhost:5000",
            },
            "python /opt/mlflow/health.py",
        ),
        (
            "model-server",
            {
                "MLFLOW_TRACKING_URI": "http://mlflow:5000",
                "KAFKA_BROKER_ENDPOINT": "kafka:9092",
                **inference_variables(settings_of("dev")),
                "LAKE_WRITER_URL": "http://lake-writer:8001",
            },
            "python -m model_server.health",
        ),
        (
            "lake-writer",
            {
                "KAFKA_BROKER_ENDPOINT": "kafka:9092",
                **inference_variables(settings_of("dev")),
                "DATALAB_LAKE": json.dumps(LAKE),
            },
            "python -m lake_writer.health",
        ),
        ("web", {"MODEL_SERVER_URL": "http://model-server:8000"}, "node health.js"),
    ],
)
def test_what_is_built_starts_and_is_healthy(
    built: Built, image: str, variables: Mapping[str, str], health: str, tmp_path: Path
) -> None:
    known = tmp_path / "users.ini"
    known.write_text(users(variables.get("MLFLOW_BACKEND_STORE_URI", "")))
    known.chmod(0o444)
    given = [f"--env={name}={value}" for name, value in variables.items()]
    mounted = f"--volume={known}:/users.ini:ro"
    words = ("--detach", "--network=none", mounted, *given, built.reference[image])
    container = docker("run", *words).strip()

    def healthy() -> bool:
        command = ["docker", "exec", container, *health.split()]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    try:
        wait_for(healthy, what=image)
        assert docker("top", container, "-eo", "pid,uid").split()[-1] != "0"
    except TimeoutError:
        pytest.fail(f"{image} is not healthy:\n{docker('logs', container)[-3000:]}")
    finally:
        docker("rm", "--force", "--volumes", container)
