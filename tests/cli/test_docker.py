"""Whether the containers of a stack are healthy, by what docker says of them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cli.lib import docker
from cli.lib.fault import Fault
from cli.lib.pulumi import Engine

FAKE = """\
#!/bin/sh
echo "$DOCKER_HOST $DOCKER_CONTEXT $*" >>{folder}/calls
cat {folder}/told
grep -q missing {folder}/told && {{ echo "Error: No such container: x" >&2; exit 1; }}
exit 0
"""


def resource(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"type": kind, "urn": f"urn::{kind}", "inputs": inputs}


class Stack(Engine):
    """A state with a provider and two containers."""

    def resources(
        self, stack: str, *options: str, timeout_s: float | None = None
    ) -> list[dict[str, Any]]:
        assert options == ("--show-secrets",)
        return [
            resource("pulumi:providers:docker", host="tcp://docker:2376"),
            resource(docker.CONTAINER, name="datalab-web"),
            resource(docker.CONTAINER, name="datalab-kafka"),
        ]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Stack(folder=tmp_path, variables={})


@pytest.fixture
def tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with what a `docker` on PATH answers."""
    command = tmp_path / "docker"
    command.write_text(FAKE.format(folder=tmp_path))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONTEXT", "laptop")
    monkeypatch.setattr(docker, "SETTLE_S", 0)
    return tmp_path / "told"


def row(name: str, status: str, health: str = "") -> dict[str, Any]:
    return {"Name": f"/{name}", "State": {"Status": status, "Health": {"Status": health}}}


def test_all_are_healthy(engine: Engine, tell: Path) -> None:
    told = [row("datalab-web", "running", "healthy"), row("datalab-kafka", "running", "healthy")]
    tell.write_text(json.dumps(told))
    docker.require_health(engine, "dev-services")
    asked = (tell.parent / "calls").read_text()
    # Not the context of the shell, which would override the host.
    assert asked == "tcp://docker:2376  container inspect datalab-kafka datalab-web\n"


@pytest.mark.parametrize(
    ("kafka", "said"),
    [
        (row("datalab-kafka", "running", "unhealthy"), "datalab-kafka is unhealthy"),
        (row("datalab-kafka", "running", "starting"), "datalab-kafka is starting"),
        (row("datalab-kafka", "exited", "unhealthy"), "datalab-kafka is exited"),
        (row("missing", "running", "healthy"), "datalab-kafka is missing"),
    ],
)
def test_what_is_not_is_named_with_the_way_to_find_out_why(
    engine: Engine, tell: Path, kafka: dict[str, Any], said: str
) -> None:
    tell.write_text(json.dumps([row("datalab-web", "running", "healthy"), kafka]))
    with pytest.raises(Fault) as caught:
        docker.require_health(engine, "dev-services")
    lines = str(caught.value).splitlines()
    assert lines == [
        "dev-services is up, but not all of it works:",
        f"{said}: docker logs datalab-kafka",
    ]


def test_without_docker_nobody_looks_and_up_says_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    docker.require_health(engine, "lab-services")
    assert "lab: lab-services: are its containers healthy? the docker command is needed" in (
        capsys.readouterr().err
    )
