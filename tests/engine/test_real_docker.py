"""`dev` on a real Docker engine, by the real provider that pulumi-docker wraps.

What the simulator can only claim: that the provider accepts what the program gives it, reads back
what it was given, and changes in place what should stay. Images are stubs that are always healthy,
as none can be pulled here; those with a user of their own have it, as the vendors' have.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cli.lib import lookup, repair
from cli.lib.docker import require_health
from cli.lib.fault import Fault
from layers import LAYERS
from rehearsal import operations, simulator, terraform
from rehearsal.terraform.docker import kind
from rehearsal.terraform.provider import served
from settings import containers, images
from tests.conftest import SUMS
from tests.engine.lab import Lab, lab
from tests.harness import real_docker
from tests.harness.docker import engine
from tests.harness.process import clean_environment
from tests.harness.real_docker import ByTag, Docker

pytestmark = pytest.mark.service
# The users that the vendors' images state.
USERS = {"kafka": "appuser", "openbao": "openbao", "open-webui": "0:0"}
# With what the committed settings leave out: a limit of whole cores, and a registry's cache.
CHANGE = {
    "common.target.memory_mib": 10304,
    "foundation.cache.upstreams.hub": {
        "kind": "oci",
        "url": "https://registry-1.docker.io",
        "registry": "docker.io",
        "container": {"memory_mib": 64},
    },
    "services.ollama.container.cpus": 1,
    "services.mlflow.container.cpus": 0.5,
}


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """An engine that has every image of `dev`."""
    with engine(tmp_path_factory.mktemp("docker"), networks=True) as host:
        for name, image in images.catalogue().images.items():
            real_docker.make_image(host, image.name, USERS.get(name, ""))
        real_docker.make_built_images(host, SUMS)
        yield Docker(host)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, docker: Docker) -> Iterator[Lab]:
    """`dev`, up, each layer proven to change nothing more against what the engine says of it."""
    folder = tmp_path_factory.mktemp("dev")
    with (
        pytest.MonkeyPatch.context() as patch,
        lab("dev", folder, CHANGE) as made,
        terraform.running(
            terraform.DOCKER,
            tmp_path_factory.mktemp("provider"),
            clean_environment(DOCKER_HOST=docker.host),
        ) as provider,
        served(
            made.scratch.executables,
            ByTag("docker", made.world, provider, kind),
        ),
    ):
        patch.setenv("DOCKER_HOST", docker.host)
        # The other providers' simulators look for their servers in the simulated world, whose
        # containers are real now.
        for module in (operations, simulator):
            patch.setattr(module, "reach", lambda *_: None)
        for layer in LAYERS:
            answer = made.up(layer)
            assert answer.code == 0, answer.said[-4000:]
            at_rest(made, layer)
        yield made


def at_rest(dev: Lab, layer: str) -> None:
    """AssertionError unless the engine has just what the program wants."""
    answer = dev.preview(layer, "--refresh", "--expect-no-changes", "--diff")
    assert answer.code == 0, answer.said[-4000:]


def test_every_container_runs_with_its_limits(dev: Lab, docker: Docker) -> None:
    running = docker.ask("ps", "--format", "{{.Names}} {{.Status}}").splitlines()
    wanted = containers.wanted(dev.scratch.settings)
    assert sorted(line.split()[0] for line in running) == sorted(one.docker_name for one in wanted)
    assert [line for line in running if "(healthy)" not in line] == []
    limits = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}"
    told = docker.ask("container", "inspect", "--format", limits, "datalab-mlflow")
    assert told == f"{768 << 20} {768 << 20} 500000000"


@pytest.mark.parametrize(
    ("name", "path", "wanted"),
    [
        ("gateway", "/etc/datalab/gateway.key", (0, 0, 0o400)),
        ("gateway", "/etc/datalab/pages", (0, 0, 0o755)),  # made on the way; its workers read it
        ("kafka", "/mnt/shared/config/server.properties", (0, 0, 0o644)),
        ("mlflow", "/run/secrets/pgpass", (10001, 10001, 0o400)),
        ("postgresql", "/etc/postgresql/server.key", (999, 999, 0o400)),
        ("vault", "/etc/vault/tls.key", (0, 0, 0o600)),
    ],
)
def test_files_are_whose_they_should_be(
    dev: Lab, docker: Docker, name: str, path: str, wanted: tuple[int, int, int]
) -> None:
    found = docker.entry(name, path)
    assert (found.uid, found.gid, found.mode & 0o777) == wanted


def test_memory_changes_in_place(dev: Lab, docker: Docker) -> None:
    before = docker.id("kafka")
    dev.configure({"services.kafka.container.memory_mib": 1024})
    assert dev.steps("services") == {"kafka-container": "update"}
    assert dev.up("services").code == 0
    assert docker.id("kafka") == before
    at_rest(dev, "services")


def test_what_is_replaced_is_stopped_first_and_keeps_its_data(dev: Lab, docker: Docker) -> None:
    created = "{{.CreatedAt}}"
    volume = docker.ask("volume", "inspect", "--format", created, "datalab-kafka-data")
    begin = datetime.now(UTC).isoformat()
    dev.configure({"services.kafka.heap_mib": 400})
    assert dev.steps("services") == {"kafka-container": "replace"}
    assert dev.up("services").code == 0
    at_rest(dev, "services")
    filters = ["--filter", "container=datalab-kafka", "--filter", "event=kill"]
    until = datetime.now(UTC).isoformat()
    told = docker.ask(
        "events", "--since", begin, "--until", until, *filters, "--format", "{{json .}}"
    )
    signals = [json.loads(line)["Actor"]["Attributes"]["signal"] for line in told.splitlines()]
    assert signals == ["15"]
    assert docker.ask("volume", "inspect", "--format", created, "datalab-kafka-data") == volume


def test_what_somebody_stopped_is_named(dev: Lab, docker: Docker) -> None:
    require_health(dev.scratch.engine, "dev-services")
    docker.ask("stop", "datalab-gateway")
    with pytest.raises(Fault, match="datalab-gateway is exited: docker logs datalab-gateway"):
        require_health(dev.scratch.engine, "dev-services")
    docker.ask("start", "datalab-gateway")
    require_health(dev.scratch.engine, "dev-services")


def test_what_somebody_removed_is_seen_and_comes_back(dev: Lab, docker: Docker) -> None:
    docker.ask("rm", "--force", "datalab-gateway")
    assert dev.preview("services", "--refresh", "--expect-no-changes").code == 7
    again = dev.run("up", "--refresh", "--yes", "--skip-preview", "-s", "dev-services")
    assert again.code == 0, again.said[-4000:]
    at_rest(dev, "services")


def test_a_kill_then_repair_and_up_converges(dev: Lab, docker: Docker) -> None:
    """The engine dies while the provider waits for a new container's health."""
    dev.configure({"services.kafka.heap_mib": 384})
    old = docker.id("kafka")

    def kill() -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            shown = docker.ask("ps", "--no-trunc", "--filter", "name=datalab-kafka", "--quiet")
            if shown and shown != old:
                break
            time.sleep(0.1)
        os.kill(dev.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    answer = dev.up("services")
    killer.join()
    assert answer.code == -9, answer.said[-4000:]
    repair.fix(dev.scratch.engine, dev.scratch.stack("services"), lookup.find)
    answer = dev.up("services")
    assert answer.code == 0, answer.said[-4000:]
    at_rest(dev, "services")


def test_down_leaves_data_and_destroy_leaves_nothing(
    dev: Lab, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dev.down(monkeypatch) == 0
    left = {"datalab-postgresql", "datalab-store", "datalab-vault"}
    assert set(docker.ask("ps", "--all", "--format", "{{.Names}}").splitlines()) == left
    volumes = docker.ask("volume", "ls", "--quiet").splitlines()
    assert {"datalab-kafka-data", "datalab-ollama-data", "datalab-postgresql-data"} <= set(volumes)
    for layer in reversed(LAYERS):
        stack = dev.scratch.stack(layer)
        answer = dev.run("destroy", "--yes", "--skip-preview", "--ignore-protect", "-s", stack)
        assert answer.code == 0, answer.said[-4000:]
    assert docker.ask("ps", "--all", "--quiet") == ""
    assert docker.ask("volume", "ls", "--quiet") == ""
    assert "datalab" not in docker.ask("network", "ls", "--format", "{{.Name}}").splitlines()
