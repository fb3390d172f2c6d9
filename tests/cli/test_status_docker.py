"""`./lab status dev`, `logs` and `open` against a real Docker engine, whose images are stubs.

The containers are run by hand, as nothing of the program is asked.
"""

import json
import re
import shlex
import time
import webbrowser
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from settings import images
from settings.containers import LAYER_LABEL, SERVICE_LABEL, Wanted, recipe, wanted
from settings.images import entry
from targets.image import version
from tests.cli.conftest import ROOT, Checkout
from tests.harness import real_docker
from tests.harness.deploy import settings_of
from tests.harness.docker import engine

pytestmark = pytest.mark.service

SETTINGS = settings_of("dev")
WANTED = wanted(SETTINGS)
HEALTHY = ("--health-cmd", "true", "--health-interval", "1s", "--health-retries", "1")
OLD_WEB, OLD_KAFKA = "datalab/web:0123456789ab", "apache/kafka:3.9.0"
PATIENCE_S = 60


def reference(one: Wanted) -> str:
    """The image that the container should run."""
    if one.built:
        return f"datalab/{one.image}:{version(recipe(SETTINGS, one.image))}"
    return entry(images.catalogue().images, "images", one.image).name


class Docker(real_docker.Docker):
    """The engine, as a person uses it."""

    def start(self, one: Wanted, image: str, *options: str) -> None:
        """Run a container in the name of the lab's."""
        labels = {SERVICE_LABEL: one.name, LAYER_LABEL: one.service.layer}
        self.ask(
            *("run", "--detach", "--name", one.docker_name, "--network", "none"),
            *(word for label in labels.items() for word in ("--label", "=".join(label))),
            *("--memory", f"{one.memory_mib}m", *HEALTHY, *options, image),
        )


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """An engine that runs everything that `dev` wants."""
    with engine(tmp_path_factory.mktemp("docker")) as host:
        made = Docker(host)
        for one in WANTED:
            real_docker.make_image(host, reference(one))
            made.start(one, reference(one))
        real_docker.make_image(host, OLD_WEB)
        # Without a shell its health check fails.
        real_docker.make_image(host, OLD_KAFKA, programs=())
        yield made
        made.ask("rm", "--force", *made.ask("ps", "--all", "--quiet").split())


@pytest.fixture
def lab(checkout: Checkout, docker: Docker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """A checkout on that engine; afterwards everything runs again."""
    monkeypatch.setenv("DOCKER_HOST", docker.host)
    yield checkout
    for name in docker.ask("ps", "--all", "--format", "{{.Names}}").split():
        docker.ask("rm", "--force", name)
    for one in WANTED:
        docker.start(one, reference(one))


Ask = Callable[[], dict[str, Any]]


@pytest.fixture
def status(lab: Checkout, capsys: pytest.CaptureFixture[str]) -> Ask:
    """What `./lab status dev --json` says."""

    def ask() -> dict[str, Any]:
        capsys.readouterr()
        code = lab.lab("status", "dev", "--json")
        told: dict[str, Any] = json.loads(capsys.readouterr().out)["dev"]
        assert told["code"] == code
        return told

    return ask


def until(status: Ask, true: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, Any]:
    """The answer once its services, by name, are as wanted; AssertionError after a while."""
    end = time.monotonic() + PATIENCE_S
    while True:
        told = status()
        rows = {row["service"]: row for row in told["services"]}
        if true(rows):
            return told
        assert time.monotonic() < end, rows
        time.sleep(0.5)


def healthy(rows: dict[str, dict[str, Any]]) -> bool:
    return all(row["state"] == "healthy" for row in rows.values())


def test_all_is_well(status: Ask) -> None:
    told = until(status, healthy)
    assert (told["code"], told["problems"], told["unreached"]) == (0, [], [])
    rows = {row["service"]: row for row in told["services"]}
    assert list(rows) == [one.name for one in WANTED]
    kafka = rows["kafka"]
    assert (
        kafka["running"]
        == kafka["wanted"]
        == entry(images.catalogue().images, "images", "kafka").tag
    )
    assert kafka["limit"] == 768 << 20
    assert rows["mlflow"]["running"] == rows["mlflow"]["wanted"]
    assert rows["store"]["address"] == "https://localhost:9001"


def test_each_fault_is_named(status: Ask, docker: Docker) -> None:
    until(status, healthy)
    known = {one.name: one for one in WANTED}
    docker.ask("stop", "datalab-portainer")
    for name in ("gateway", "ollama", "kafka", "web"):
        docker.ask("rm", "--force", f"datalab-{name}")
    docker.start(known["kafka"], OLD_KAFKA)
    # The stub runs as the first process only, and ends at once as any other.
    docker.start(known["ollama"], reference(known["ollama"]), "--pid=host", "--restart=always")
    docker.start(known["web"], OLD_WEB)
    docker.ask(
        *("run", "--detach", "--name", "datalab-redis", "--label", f"{SERVICE_LABEL}=redis"),
        *("--network", "none", reference(known["postgresql"])),
    )
    told = until(
        status,
        lambda rows: (
            (rows["kafka"]["state"], rows["web"]["state"]) == ("unhealthy", "healthy")
            and rows["ollama"]["restarts"] > 0
        ),
    )
    assert told["code"] == 7
    rows = {row["service"]: row for row in told["services"]}
    states = {name: row["state"] for name, row in rows.items() if row["problem"]}
    assert states == {
        "portainer": "stopped",
        "gateway": "missing",
        "ollama": "restarting",
        "kafka": "unhealthy",
        "web": "healthy",
        "redis": "running",
    }
    said = "\n".join(told["problems"])
    release = entry(images.catalogue().images, "images", "kafka").tag
    assert "portainer is stopped (exit code 0): docker start datalab-portainer" in said
    assert "gateway is missing: ./lab up dev makes it" in said
    assert "ollama is restarting (exit code 0): ./lab logs ollama dev" in said
    assert "kafka is unhealthy" in said
    assert f"is outdated: it runs 3.9.0, {release} is wanted: ./lab up dev" in said
    assert "web is outdated: it runs 0123456789ab" in said
    assert "redis is not in the settings: ./lab up dev removes it" in said


def test_people_get_a_table_that_names_the_faults(
    lab: Checkout, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.ask("rm", "--force", "datalab-gateway")
    assert lab.lab("status", "dev") == 7
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if line.startswith(" services ")]
    assert [row[1] for row in rows] == [
        one.name for one in WANTED if one.service.layer == "services"
    ]
    assert "- gateway is missing: ./lab up dev makes it" in said
    assert "Start page: https://localhost:8443" in said


def test_logs_are_those_of_the_container(
    lab: Checkout, docker: Docker, capfd: pytest.CaptureFixture[str]
) -> None:
    assert lab.lab("logs", "kafka", "dev") == 0
    docker.ask("rm", "--force", "datalab-kafka")
    assert lab.lab("logs", "kafka", "dev") == 1
    assert "datalab-kafka" in capfd.readouterr().err


PAGE = ROOT / "docs" / "status.md"
COMMANDS = re.findall(r"^\./lab ([^#\n]+?) *(?:#.*)?$", PAGE.read_text(), re.MULTILINE)
ENDLESS = {"--watch", "--follow"}


def test_the_commands_of_the_page_run(lab: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise webbrowser.Error("none")

    monkeypatch.setattr(webbrowser, "get", none)
    (lab.root / ".state/dev").mkdir(parents=True)
    assert len(COMMANDS) == 8
    for command in COMMANDS:
        words = shlex.split(command)
        if not ENDLESS & set(words):
            assert lab.lab(*words) in (0, 7), command
