"""What cannot be had is one line, before Pulumi starts."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.lib import reach
from cli.lib.fault import Fault
from cli.lib.pulumi import Engine
from tests.harness.deploy import settings_of
from tests.harness.process import free_port
from toolchain import install

ALL = ("foundation", "platform", "services", "apps")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A machine with all plugins but one."""
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    for name in ("random", "vault", "docker"):
        file = tmp_path / f".venv/lib/python3/site-packages/pulumi_{name}/pulumi-plugin.json"
        file.parent.mkdir(parents=True)
        file.write_text(f'{{"resource": true, "name": "{name}", "version": "1.2.3"}}')
    (tmp_path / "home/plugins/resource-random-v1.2.3").mkdir(parents=True)
    (tmp_path / "home/plugins/resource-docker-v1.2.2").mkdir(parents=True)
    on_path = tmp_path / "bin/pulumi-resource-docker"
    on_path.parent.mkdir()
    on_path.touch(0o755)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return Engine(
        folder=tmp_path,
        variables={"PULUMI_HOME": str(tmp_path / "home"), "PATH": str(on_path.parent)},
    )


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine that answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)
        listener.bind("d.sock")
        listener.listen()
        monkeypatch.setenv("DOCKER_HOST", "unix://d.sock")
        yield


def test_all_is_there(engine: Engine, docker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "unreachable", lambda *_: "")
    reach.require(engine, settings_of("dev"), ALL)


def test_everything_at_once_and_each_in_one_line(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(reach, "PLUGINS_FROM", "127.0.0.1")
    monkeypatch.setattr(reach, "unreachable", lambda *_: "Network is unreachable")
    with pytest.raises(Fault) as caught:
        reach.require(engine, settings_of("dev"), ALL)
    first, second = str(caught.value).splitlines()
    assert first.startswith(
        "the Docker engine at unix:///nowhere/docker.sock (DOCKER_HOST) does not answer "
        "(No such file or directory): start it"
    )
    assert "provider plugins are missing (vault) and 127.0.0.1 cannot be reached" in second


def test_an_engine_of_another_machine_is_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://nas")
    (line,) = reach.place(settings_of("dev"), ALL)
    assert line.startswith("DOCKER_HOST names the Docker engine ssh://nas")


def test_the_node_is_asked_by_the_layers_that_call_it() -> None:
    endpoint = f"https://127.0.0.1:{free_port()}"
    settings = settings_of("lab", {"common.target.endpoint": endpoint})
    (line,) = reach.place(settings, ALL)
    assert line == f"the Proxmox node {endpoint}/ does not answer (Connection refused): is it on?"
    assert list(reach.place(settings, ("services", "apps"))) == []


def test_plugins_that_come_another_way_are_not_looked_for(engine: Engine) -> None:
    own = {**engine.variables, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}
    assert list(reach.plugins(Engine(folder=engine.folder, variables=own))) == []
