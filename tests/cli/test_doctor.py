"""`./lab doctor`: each lack is named with its remedy."""

import os
import socket
from pathlib import Path
from unittest.mock import Mock

import pytest

from cli.commands import doctor
from cli.commands.doctor import docker as docker_doctor
from cli.commands.doctor.finding import Finding
from cli.lib import backend
from settings.names import endpoints
from tests.cli.conftest import Checkout
from tests.harness.deploy import settings_of
from toolchain import install, obtain, pulumi_cli

# An engine of 16 GiB and 8 cores, without containers.
ENGINE = (
    '[ "$1" = info ] && echo '
    """'{"ServerVersion": "20.10.24", "MemTotal": 17179869184, "NCPU": 8, "MemoryLimit": true}'"""
    "; exit 0"
)


@pytest.fixture
def machine(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A machine with everything but the Docker engine."""
    monkeypatch.setattr(install, "python_ready", lambda _: True)
    monkeypatch.setattr(pulumi_cli, "find_pulumi", obtain.ensure_pulumi)
    monkeypatch.setattr(docker_doctor, "taken", lambda *_: False)
    return checkout


def docker(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a `docker` on PATH that answers like this."""
    command = folder / "docker"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join((str(folder), os.environ["PATH"])))


def test_all_well(
    machine: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docker(machine.fake, ENGINE, monkeypatch)
    loading = Mock(wraps=backend.settings_of)
    monkeypatch.setattr(backend, "settings_of", loading)
    assert machine.lab("doctor", "dev") == 0
    assert loading.call_count == 1
    said = capsys.readouterr().out
    assert "FAIL" not in said
    assert "20.10.24" in said
    assert "./lab init dev" in said  # a warning: the stacks are not made


def test_dead_docker_engine(
    machine: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docker(machine.fake, "echo 'Cannot connect to the Docker daemon' >&2; exit 1", monkeypatch)
    assert machine.lab("doctor", "dev") == 1
    said = capsys.readouterr().out
    assert "FAIL  Docker engine: unix:///var/run/docker.sock (the default socket): Cannot" in said
    assert "systemctl start docker" in said


def test_faults_of_settings_links_and_passphrase_all_at_once(
    machine: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    file = machine.root / "Pulumi.lab.yaml"
    file.write_text(file.read_text().replace("port: 8200", "port: 0"))
    (machine.root / "stacks/Pulumi.lab-apps.yaml").unlink()
    assert machine.lab("doctor", "lab") == 1
    said = capsys.readouterr().out
    assert "datalab:foundation.vault.port" in said
    assert "ln -sfn ../Pulumi.lab.yaml stacks/Pulumi.lab-apps.yaml" in said


def test_lab_without_its_passphrase(machine: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.lab("doctor", "lab") == 1
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in capsys.readouterr().out


def test_bare_machine(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(install, "python_ready", lambda _: False)
    monkeypatch.setattr(install, "can_make_environments", lambda: False)
    assert checkout.lab("doctor") == 1
    said = capsys.readouterr().out
    assert "FAIL  needed first: python3-venv, git missing" in said
    assert "-> Debian and Ubuntu: apt install python3-venv git" in said
    assert "warn  Pulumi: not here yet" in said


def test_what_is_not_required_does_not_fail() -> None:
    finding = Finding(what="disk", found="1 GB", remedy="free some", required=False)
    assert str(finding).startswith("warn")


@pytest.mark.parametrize("known", [True, False])
def test_names_that_the_registry_sends_the_engine_to(
    machine: Checkout,
    known: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A push to GitLab's registry asks for a token at GitLab's own name."""
    docker(machine.fake, ENGINE, monkeypatch)
    file = machine.root / "Pulumi.dev.yaml"
    text = file.read_text().replace("enabled: false", "enabled: true")
    file.write_text(text.replace("memory_mib: 10240", "memory_mib: 24576"))
    asked: list[str] = []

    def lookup(name: str) -> str:
        asked.append(name)
        if not known:
            raise socket.gaierror
        return "127.0.0.1"

    monkeypatch.setattr(socket, "gethostbyname", lookup)
    assert machine.lab("doctor", "dev") == (0 if known else 1)
    said = capsys.readouterr().out
    assert asked == ["gitlab.lab.home.arpa"]
    assert ("FAIL  names of dev: 1 of 1 unknown here" in said) is not known
    assert ("./lab hosts dev --install" in said) is not known


@pytest.mark.parametrize("version", ["1.2.3", "1.2.2"])
def test_a_plugin_of_another_version_is_not_the_one_that_is_needed(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    file = tmp_path / ".venv/lib/python3/site-packages/pulumi_random/pulumi-plugin.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"resource": true, "name": "random", "version": "1.2.3"}')
    (tmp_path / f"home/plugins/resource-random-v{version}").mkdir(parents=True)
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    finding = doctor.plugins()
    assert finding.found == ("all there" if version == "1.2.3" else "missing: random")
    assert bool(finding.remedy) is (version == "1.2.2")


def test_an_engine_that_is_too_small(
    machine: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ENGINE.replace("17179869184", "4294967296").replace('"NCPU": 8', '"NCPU": 2')
    docker(machine.fake, small.replace('"MemoryLimit": true', '"MemoryLimit": false'), monkeypatch)
    assert machine.lab("doctor", "dev") == 1
    said = capsys.readouterr().out
    assert "warn  engine's memory: 4096 MiB, 10240 planned" in said
    assert "-> set datalab:common.target.cores to 2" in said
    assert "FAIL  engine's limits: it cannot limit the memory of containers" in said


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("own", [True, False])
def test_a_port_that_another_program_has(
    own: bool, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr("sys.platform", system)
        monkeypatch.setattr(docker_doctor, "AIRPLAY", {port})
        checked = settings_of("dev", {"services.mlflow.port": port})
        containers = (
            f"datalab-mlflow 127.0.0.1:{port}->5000/tcp" if own else "other 0.0.0.0:1->1/tcp"
        )
        monkeypatch.setattr(
            docker_doctor, "endpoints", lambda found: {"mlflow": endpoints(found)["mlflow"]}
        )
        finding = docker_doctor.ports(checked, containers)
    assert finding.found == ("free" if own else f"taken by another program: {port}")
    assert ("set datalab:services.mlflow.port to another" in finding.remedy) is not own
    assert ("AirPlay" in finding.remedy) is (system == "darwin" and not own)


def test_an_engine_of_another_machine(
    machine: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://nas")
    assert machine.lab("doctor", "dev") == 1
    assert "-> DOCKER_HOST names the Docker engine ssh://nas, and dev is on" in (
        capsys.readouterr().out
    )
