"""Every Dockerfile built by a real engine, its packages through our own package cache.

No registry of base images can be reached, so a Debian that debootstrap makes stands in for Ubuntu,
and what is built on that for the Python and Node images. Pulumi is the one that ./lab built, and a
folder of the test serves it and the plugins.
"""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import tarfile
import threading
import zoneinfo
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from cli.ci import images
from cli.commands.init.links import file_hosts
from cli.commands.init.upstreams import npm_registry, pip_index
from layers.apps.model_server import inference_variables
from layers.builder import builder
from settings import time_zones
from settings.foundation.cache import Cache
from tests.cache.running import Running, outside, running
from tests.harness.deploy import settings_of
from tests.harness.docker import engine, registry
from tests.harness.machine import archive
from tests.harness.node import NODE
from tests.harness.pipelines import git
from tests.harness.process import wait_for
from toolchain import obtain, pulumi_cli
from toolchain.install import BAKED, ROOT
from toolchain.kept import cached

pytestmark = pytest.mark.service

SUITE = "trixie"  # the first Debian with docker-buildx, as Ubuntu 24.04 has it
INCLUDE = "ca-certificates,docker-cli"  # Ubuntu's docker.io has docker, Debian's is split
SOURCES = """\
Types: deb
URIs: http://archive.ubuntu.com/ubuntu/
Suites: {suite}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
UBUNTU, PYTHON, JAVASCRIPT = (f"datalab-test/{name}" for name in ("ubuntu", "python", "node"))
# What the official images have beyond their distribution.
LANGUAGES = {
    PYTHON: f"""\
FROM {UBUNTU}
ARG UBUNTU_MIRROR
RUN sed -i "s#^URIs: .*#URIs: $UBUNTU_MIRROR/#" /etc/apt/sources.list.d/ubuntu.sources \\
    && apt-get update && apt-get install -y --no-install-recommends python3-venv \\
    && python3 -m venv /usr/local
""",
    JAVASCRIPT: f"""\
FROM {UBUNTU}
COPY . /usr/local/
RUN ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
""",
}
WITH_BUILDX = """\
#!/bin/sh
mkdir -p "$DOCKER_CONFIG" && ln -sfn {plugins} "$DOCKER_CONFIG/cli-plugins"
exec {docker} "$@"
"""
# Where nothing answers, as it has no network: the writer waits, and is healthy.
LAKE = {
    "postgresql": {"host": "postgresql"},
    "s3": {"endpoint": "https://store:9000", "access_key": "a", "secret_key": "b"},
    "catalogs": {"secure_stage": {"user": "lakehouse-secure", "password": "c"}},
}
PLUGIN = "#!/bin/sh\nexit 1\n"  # a rehearsal's stand-ins are before it on PATH


def run(*words: str | Path) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


docker = partial(run, "docker")


def distribution() -> Path:
    """A folder with what is of the stand-in for Ubuntu: `root.tar`, and in `buildx` its plugin.

    Debian 12, which this may be, has a docker without the builder that Dockerfiles are for.
    """

    def make(folder: Path) -> None:
        root, sources = folder / "root", Path("etc/apt/sources.list.d/ubuntu.sources")
        words = ("--variant=minbase", f"--include={INCLUDE}", SUITE, root, archive())
        run("debootstrap", *words)
        shutil.copy("/etc/resolv.conf", root / "etc")
        fetch = "apt-get -q update && cd /tmp && apt-get -q download docker-buildx"
        run("chroot", root, "sh", "-ec", fetch)
        (package,) = (root / "tmp").glob("docker-buildx_*.deb")
        run("dpkg-deb", "--extract", package, folder / "buildx")
        package.unlink()
        (root / "etc/apt/sources.list").unlink()
        (root / sources).write_text(SOURCES.format(suite=SUITE))
        run("tar", "-C", root, "-cf", folder / "root.tar", ".")
        shutil.rmtree(root)

    key = hashlib.sha256((INCLUDE + SOURCES).encode()).hexdigest()[:12]
    return cached(f"image-{SUITE}-{key}", make)


def test_debian_13_has_every_time_zone_that_the_settings_take() -> None:
    """PostgreSQL's image is of it, without the package that has former names (#10.11)."""
    with tarfile.open(distribution() / "root.tar") as packed:
        there = {name.partition("usr/share/zoneinfo/")[2] for name in packed.getnames()}
    known = {zone for zone in zoneinfo.available_timezones() if not time_zones.fault(zone)}
    assert len(known) > 400
    assert known - there == set()


def with_buildx(folder: Path) -> str:
    """A PATH on which docker has its builder, whatever configuration it is given."""
    program = folder / "docker"
    plugins = distribution() / "buildx/usr/libexec/docker/cli-plugins"
    program.write_text(WITH_BUILDX.format(docker=shutil.which("docker"), plugins=plugins))
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of a folder over HTTP; yields the address."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as here:
        threading.Thread(target=here.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{here.server_port}"
        here.shutdown()


def downloads(folder: Path, plugins: str, at: str) -> Mapping[str, str]:
    """Fill a folder with Pulumi and its plugins; the build arguments of the deployer for them."""
    with tarfile.open(folder / "pulumi.tar.gz", "w:gz") as packed:
        packed.add(obtain.ensure_pulumi().pulumi, "pulumi/pulumi")
    (folder / "plugin").write_text(PLUGIN)
    (folder / "plugin").chmod(0o755)
    found = []
    for plugin in plugins.split():
        name, version, *_ = plugin.split("@")
        file = folder / f"pulumi-resource-{name}-v{version}-linux-amd64.tar.gz"
        with tarfile.open(file, "w:gz") as packed:
            packed.add(folder / "plugin", f"pulumi-resource-{name}")
        checksum = hashlib.sha256(file.read_bytes()).hexdigest()
        found.append(f"{name}@{version}@{at}/{file.name}@{checksum}")
    return {
        "PULUMI_URL": f"{at}/pulumi.tar.gz",
        "PULUMI_SHA256": hashlib.sha256((folder / "pulumi.tar.gz").read_bytes()).hexdigest(),
        "PULUMI_PLUGINS": " ".join(found),
    }


@dataclass(frozen=True)
class Built:
    """What `./lab ci images` made: the reference of each image, and the cache that it used."""

    reference: Mapping[str, str]
    cache: Running
    plugins: tuple[str, ...]

    def run(self, image: str, *words: str, **mounts: Path) -> str:
        """Output of a command in a container without a network; mounts: path there -> here."""
        volumes = [f"--volume={here}:{there}" for there, here in mounts.items()]
        return docker("run", "--rm", "--network=none", *volumes, self.reference[image], *words)


@contextmanager
def cache_of_this_machine(folder: Path) -> Iterator[tuple[Running, Mapping[str, object]]]:
    """Our cache in front of what this machine installs from, and the settings that say so."""
    index, npm = pip_index(), npm_registry()
    assert index, "pip has no index here"
    assert npm, "npm is not here"
    where = outside(folder)
    changes: dict[str, object] = {
        "foundation.cache.port": where.port,
        "foundation.cache.min_free_gib": 1,
        "foundation.cache.upstreams": {
            "ubuntu": {"kind": "apt", "url": archive()},
            "pypi": {"kind": "pypi", "url": index, "files": file_hosts("pypi", index)},
            "npm": {"kind": "npm", "url": npm, "files": file_hosts("npm", npm)},
        },
    }
    cache: Cache = settings_of("dev", changes).foundation.cache
    with running(cache, folder, where) as started:
        yield started, changes


def make_bases(folder: Path, arguments: Mapping[str, str]) -> None:
    """The images that stand in for those of images.yaml."""
    docker("import", distribution() / "root.tar", UBUNTU)
    node = folder / "node"
    (node / "bin").mkdir(parents=True)
    (node / "lib/node_modules").mkdir(parents=True)
    shutil.copy(NODE / "node", node / "bin")
    shutil.copytree(NODE.parent / "lib/node_modules/npm", node / "lib/node_modules/npm")
    for tag, text in LANGUAGES.items():
        (node / "Dockerfile").write_text(text)
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        docker("build", "--network=host", *given, "--tag", tag, node)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """All images, built by the command of the pipelines' job."""
    folder = tmp_path_factory.mktemp("images")
    files = folder / "files"
    files.mkdir()
    with ExitStack() as stack:
        place = stack.enter_context(registry(folder))
        host = stack.enter_context(engine(folder))
        at = stack.enter_context(served(files))
        cache, changes = stack.enter_context(cache_of_this_machine(folder))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in {
            "DOCKER_CONFIG": str(folder / "docker-config"),
            "DOCKER_HOST": host,
            "PATH": with_buildx(folder),
            "CI_SERVER_URL": "http://gitlab.test",
            "CI_REGISTRY": place,
            "CI_REGISTRY_IMAGE": f"{place}/datalab",
            "CI_REGISTRY_USER": "job",
            "CI_REGISTRY_PASSWORD": "planted-password-of-the-job",
        }.items():
            patch.setenv(name, value)
        for name in ("DATALAB_CA_FILE", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"):
            patch.delenv(name, raising=False)
        settings, wanted = settings_of("dev", changes), images.recipes()
        plugins = wanted["deployer"].base["PULUMI_PLUGINS"]
        given = {
            "UBUNTU_IMAGE": UBUNTU,
            "PYTHON_IMAGE": PYTHON,
            "NODE_IMAGE": JAVASCRIPT,
            **downloads(files, plugins, at),
        }
        recipes = {
            name: replace(recipe, base={**recipe.base, **{k: given[k] for k in recipe.base}})
            for name, recipe in wanted.items()
        }
        patch.setattr(images, "recipes", lambda: recipes)
        make_bases(folder, builder(settings).sources)
        assert images.build_all(settings, folder / "out") == 0
        manifest = json.loads((folder / "out" / images.FILE).read_text())
        yield Built(
            reference={name: entry["image"] for name, entry in manifest.items()},
            cache=cache,
            plugins=tuple(plugin.split("@")[0] for plugin in plugins.split()),
        )


def test_the_packages_came_through_the_cache(built: Built) -> None:
    paths = [row["uri"] for row in built.cache.log()]
    assert any(path.startswith("/ubuntu/pool/") and "docker-buildx" in path for path in paths)
    assert any(path.startswith("/pypi/") and "pulumi" in path for path in paths)


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
    built: Built, image: str, variables: Mapping[str, str], health: str
) -> None:
    given = [f"--env={name}={value}" for name, value in variables.items()]
    words = ("--detach", "--network=none", *given, built.reference[image])
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
