"""Which Docker engine `dev` is on, as docker's own command chooses it."""

import hashlib
import json
from pathlib import Path

import pytest

from settings.docker_engine import Named, mounted_socket, named

ROOTLESS = "unix:///run/user/1000/docker.sock"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two contexts, of which `rootless` is current."""
    for name, host in (("rootless", ROOTLESS), ("far", "ssh://me@nas")):
        key = hashlib.sha256(name.encode()).hexdigest()
        meta = tmp_path / ".docker/contexts/meta" / key / "meta.json"
        meta.parent.mkdir(parents=True)
        meta.write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "rootless"}')
    (tmp_path / ".docker/contexts/tls" / key / "docker").mkdir(parents=True)
    return tmp_path


def test_nothing_said(tmp_path: Path) -> None:
    found = named({"HOME": str(tmp_path)})
    assert found == Named(host="unix:///var/run/docker.sock", source="the default socket")
    assert found.variables == {}
    assert found.refusal is None


def test_the_order_is_dockers(home: Path) -> None:
    env = {"HOME": str(home)}
    assert named(env).host == ROOTLESS
    assert named(env).variables == {"DOCKER_HOST": ROOTLESS}
    assert named(env | {"DOCKER_CONTEXT": "default"}).source == "the default socket"
    far = named(env | {"DOCKER_CONTEXT": "far"})
    assert (far.host, far.source) == ("ssh://me@nas", "the context far")
    assert far.variables["DOCKER_TLS_VERIFY"] == "1"
    assert named(env | {"DOCKER_CONTEXT": "far", "DOCKER_HOST": "tcp://x:1"}).host == "tcp://x:1"


@pytest.mark.parametrize("host", ["unix:///x.sock", "tcp://localhost:2375", "tcp://127.0.0.1:2375"])
def test_engines_of_this_machine(host: str) -> None:
    assert named({"DOCKER_HOST": host}).refusal is None


@pytest.mark.parametrize("host", ["ssh://me@nas", "tcp://192.168.1.9:2376", "npipe:////./pipe/x"])
def test_any_other_is_refused_in_words(host: str) -> None:
    refusal = named({"DOCKER_HOST": host}).refusal
    assert refusal
    assert refusal.startswith(f"DOCKER_HOST names the Docker engine {host}, and dev is on")


@pytest.mark.parametrize(
    ("host", "system", "path"),
    [
        (ROOTLESS, "linux", "/run/user/1000/docker.sock"),
        ("unix:///home/me/.docker/desktop/docker.sock", "linux", "/var/run/docker.sock"),
        ("unix:///Users/me/.colima/default/docker.sock", "darwin", "/var/run/docker.sock"),
        ("tcp://localhost:2375", "linux", "/var/run/docker.sock"),
    ],
)
def test_socket_mounts_follow(host: str, system: str, path: str) -> None:
    assert mounted_socket({"DOCKER_HOST": host}, system) == path
