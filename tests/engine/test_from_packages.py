"""`dev` on a real Docker engine with real servers, in images made from packages.

What stubs cannot show: that each server takes the files, flags, users and environment that the
program gives to the vendor's image, and becomes healthy; and that local providers bring what is in
it up, see no difference afterwards, and take it away. Ollama, Open WebUI, Portainer and what the
lab builds itself are stubs as in test_real_docker.py.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from layers import LAYERS
from layers.foundation.object_store import BUCKETS
from rehearsal.acting import Acting
from rehearsal.servers import serve
from rehearsal.world import World
from settings import images
from settings.packaged import Contract, contracts
from tests.conftest import SUMS
from tests.engine.lab import Lab, lab
from tests.harness import packaged, real_docker, terraform
from tests.harness.docker import engine, enter
from tests.harness.process import wait_for
from tests.harness.real_docker import ByTag, Docker
from tests.harness.real_provider import served

pytestmark = pytest.mark.service
# OpenBao, as Vault takes ten minutes to build.
CHANGE: Mapping[str, Any] = {
    "common.target.images": "packages",
    "foundation.vault.engine": "openbao",
}
WANTED = {name: made for name, made in contracts().items() if name not in ("minio", "vault")}
# Their containers in the lab.
REAL = ("cache", "gateway", "kafka", "postgresql", "store", "vault")


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """An engine with the images, and stubs of all others."""
    ours = dict.fromkeys(WANTED.values())
    archives = packaged.made(ours)  # before this engine takes memory
    with engine(tmp_path_factory.mktemp("docker"), networks=True) as host:
        packaged.load(archives, host)
        for name, image in images.catalogue().images.items():
            if name not in WANTED:
                real_docker.make_image(host, image.name)
        real_docker.make_built_images(host, SUMS, CHANGE)
        yield Docker(host)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, docker: Docker) -> Iterator[Lab]:
    """`dev`, up."""
    folder = tmp_path_factory.mktemp("dev")
    with (
        pytest.MonkeyPatch.context() as patch,
        lab("dev", folder, CHANGE) as made,
        terraform.running(
            "docker", tmp_path_factory.mktemp("provider"), DOCKER_HOST=docker.host
        ) as provider,
        serve(
            World(facts=made.world.facts),
            made.scratch.executables,
            Acting,
            partial(enter, docker.host),
        ),
        served(
            made.scratch.executables,
            ByTag("docker", made.world, provider, real_docker.kind),
        ),
    ):
        patch.setenv("DOCKER_HOST", docker.host)
        for layer in LAYERS:
            answer = made.up(layer)
            assert answer.code == 0, f"{answer.said[-3000:]}\n{logs(docker)}"
        yield made


def logs(docker: Docker) -> str:
    """What the containers that are not healthy said last."""
    listed = docker.ask("ps", "--all", "--format", "{{.Names}} {{.Status}}").splitlines()
    sick = [line for line in listed if "(healthy)" not in line]
    said = []
    for line in sick:
        command = ["docker", "--host", docker.host, "logs", "--tail", "30", line.split()[0]]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        said.append(f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return "\n".join(said)


@pytest.mark.parametrize("contract", dict.fromkeys(WANTED.values()), ids=lambda made: made.name)
def test_an_image_keeps_its_contract(docker: Docker, contract: Contract) -> None:
    config = json.loads(docker.ask("image", "inspect", contract.reference))[0]["Config"]
    wanted = contract.config
    if wanted.entrypoint is not None:
        assert config["Entrypoint"] == list(wanted.entrypoint)
    assert config["Cmd"] == list(wanted.command)
    assert config["User"] == wanted.user
    assert sorted(config.get("ExposedPorts") or ()) == sorted(wanted.ports)
    assert sorted(config.get("Volumes") or ()) == sorted(wanted.volumes)
    assert config.get("StopSignal", "") == wanted.stop_signal
    environment = dict(row.split("=", 1) for row in config["Env"])
    assert wanted.environment.items() <= environment.items()
    lines = [f"command -v {tool} >/dev/null || echo lacks {tool}" for tool in contract.tools]
    lines += [
        f'[ "$(id -u {user})" = {number} ] || echo another {user}'
        for user, number in contract.users.items()
    ]
    run = ("run", "--rm", "--network=none", "--user=0", "--entrypoint=/bin/sh")
    assert docker.ask(*run, contract.reference, "-c", "\n".join(lines)) == ""


def test_the_registry_answers_its_health_check(docker: Docker) -> None:
    """In `dev` it asks its upstream before it listens, which no engine here reaches."""
    run = ("run", "--rm", "--detach", "--network=none", contracts()["registry"].reference)
    made = docker.ask(*run)
    ask = ("exec", made, "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:5000/")

    def healthy() -> bool:
        command = ["docker", "--host", docker.host, *ask]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    wait_for(healthy, 30, "the registry")
    docker.ask("kill", made)


def test_every_server_is_healthy_by_the_programs_parameters(dev: Lab, docker: Docker) -> None:
    listed = docker.ask("ps", "--format", "{{.Names}} {{.Status}} {{.Image}}").splitlines()
    healthy = {line.split()[0] for line in listed if "(healthy)" in line}
    assert {f"datalab-{name}" for name in REAL} <= healthy
    for name in REAL:
        made = docker.ask("container", "inspect", "--format", "{{.Image}}", f"datalab-{name}")
        tags = docker.ask("image", "inspect", "--format", "{{.RepoTags}}", made)
        assert tags.startswith("[from-packages.invalid/"), (name, tags)


@pytest.mark.parametrize("name", REAL)
def test_a_killed_server_is_healthy_again(dev: Lab, docker: Docker, name: str) -> None:
    """By its restart policy, from the data that it has."""
    container = f"datalab-{name}"
    docker.ask("kill", container)
    docker.ask("start", container)  # an engine does not restart what somebody killed through it
    health = ("container", "inspect", "--format", "{{.State.Health.Status}}", container)
    wait_for(lambda: docker.ask(*health) == "healthy", 120, container)


def test_sql_takes_the_password_over_tls_alone(dev: Lab, docker: Docker) -> None:
    ask = 'PGPASSWORD=$(cat /run/secrets/postgresql-admin) psql -At "{} user=postgres {}" -c "{}"'
    ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    inside = ("exec", "datalab-postgresql", "bash", "-c")
    there = "host=$(hostname -i) dbname=postgres"
    assert docker.ask(*inside, ask.format(there, "sslmode=require", ssl)) == "t"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        docker.ask(*inside, ask.format(there, "sslmode=disable", ssl))
    assert "no encryption" in refused.value.stderr


def test_what_is_in_them_was_made(dev: Lab, docker: Docker) -> None:
    roles = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname ~ '^[^p]'"
    inside = ("exec", "--user", "postgres", "datalab-postgresql", "psql", "-Atc")
    found = "lakehouse lakehouse-reader lakehouse-secure mlflow vault vault-login"
    assert docker.ask(*inside, roles) == found
    # By the lakehouse's own client, which needs the store for it too.
    catalogs = "SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace"
    wanted = f"{catalogs} WHERE nspname ~ '^(stage|secure_stage|marts)$'"
    assert docker.ask(*inside, wanted, "lakehouse") == "marts secure_stage stage"
    topics = docker.ask("exec", "datalab-kafka", "ls", "/var/lib/kafka/data").split()
    assert {"ml_inference_feedback-0", "ml_inference_results-0"} <= set(topics)
    buckets = docker.ask("exec", "datalab-store", "ls", "/data").split()
    assert sorted(buckets) == sorted(BUCKETS)


@pytest.mark.parametrize("layer", LAYERS)
def test_nothing_is_left_to_do(dev: Lab, layer: str) -> None:
    answer = dev.preview(layer, "--refresh", "--expect-no-changes", "--diff")
    assert answer.code == 0, answer.said[-4000:]


def test_destroy_leaves_nothing(dev: Lab, docker: Docker) -> None:
    for layer in reversed(LAYERS):
        stack = dev.scratch.stack(layer)
        answer = dev.run("destroy", "--yes", "--skip-preview", "--ignore-protect", "-s", stack)
        assert answer.code == 0, answer.said[-4000:]
    assert docker.ask("ps", "--all", "--quiet") == ""
    assert docker.ask("volume", "ls", "--quiet") == ""
