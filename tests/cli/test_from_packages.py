"""`./lab up dev --from-packages`, before anything is built: settings, stacks and what is said."""

import json
import os
import shutil
from collections.abc import Callable

import pytest

from cli.lib import backend, stackfile, stacks
from cli.lib.packaged import choose
from cli.lib.packaged.build import needed
from layers import LAYERS
from settings import load_file
from settings.foundation.vault import Vault
from tests.cli.conftest import Checkout
from toolchain import install

UP = ("up", "dev", "--from-packages")


@pytest.fixture
def built(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would be built, on a machine that can."""
    found: list[str] = []
    file = checkout.root / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("      engine: vault\n", ""))  # as it is committed
    monkeypatch.setattr(stacks, "make", lambda wanted, *_: found.extend(c.name for c in wanted))
    monkeypatch.setattr(stacks, "providers", lambda _: found.append("providers"))
    monkeypatch.setattr(choose, "lacks", lambda: ())
    return found


def test_one_command_in_a_fresh_checkout(
    checkout: Checkout, built: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.lab(*UP, "--yes") == 0
    settings = load_file(checkout.root / "Pulumi.dev.yaml")
    assert settings.common.target.kind == "docker"
    assert settings.common.target.images == "packages"
    assert settings.get(Vault).engine == "openbao"
    assert sorted(checkout.state(backend.url("dev"))) == sorted(f"dev-{x}" for x in LAYERS)
    assert built == [*(c.name for c in needed(settings)), "providers"]
    said = capsys.readouterr().err
    assert "made from packages, as from-packages.invalid/NAME: kafka, minio, nginx" in said
    assert "stands in for ollama, open-webui, portainer: a page that says so" in said
    assert "left out: GitLab" in said


def test_again_it_writes_nothing(checkout: Checkout, built: list[str]) -> None:
    checkout.lab(*UP, "--yes")
    text = (checkout.root / "Pulumi.dev.yaml").read_text()
    assert checkout.lab(*UP, "--yes") == 0
    assert (checkout.root / "Pulumi.dev.yaml").read_text() == text


def test_nothing_is_written_without_a_yes(
    checkout: Checkout, built: list[str], terminal: Callable[..., None]
) -> None:
    before = (checkout.root / "Pulumi.dev.yaml").read_text()
    assert checkout.lab(*UP) == 1
    terminal("n")
    assert checkout.lab(*UP) == 1
    assert (checkout.root / "Pulumi.dev.yaml").read_text() == before
    assert built == []


def test_vault_stays_where_it_was_asked_for(checkout: Checkout, built: list[str]) -> None:
    file = checkout.root / "Pulumi.dev.yaml"
    path = ("config", "datalab:foundation", "vault", "engine")
    stackfile.write(file, stackfile.with_value(stackfile.read(file), path, "vault"))
    assert checkout.lab(*UP, "--yes") == 0
    assert load_file(file).get(Vault).engine == "vault"


def test_every_command_goes_by_the_settings(checkout: Checkout, built: list[str]) -> None:
    before = backend.prepare("dev")[0].variables
    assert backend.NO_DOWNLOADS not in before
    checkout.lab(*UP, "--yes")
    after = backend.prepare("dev")[0].variables
    assert after[backend.NO_DOWNLOADS] == "true"
    assert after["PATH"].startswith(f"{backend.LOCAL_PROVIDERS}:")


def test_a_lab_on_proxmox_is_refused(
    checkout: Checkout, built: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.lab("up", "lab", "--from-packages", "--yes") == 2
    assert "--from-packages is for a Docker engine" in capsys.readouterr().err


def test_a_lab_that_official_plugins_brought_up_is_refused(
    checkout: Checkout, built: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Local providers do not read what those wrote into the state."""
    before = (checkout.root / "Pulumi.dev.yaml").read_text()
    there = {"dev-foundation": [{"urn": "store"}]}
    (checkout.fake / "state.json").write_text(json.dumps({backend.url("dev"): there}))
    assert checkout.lab(*UP, "--yes") == 1
    assert "./lab down dev --data" in capsys.readouterr().err
    assert (checkout.root / "Pulumi.dev.yaml").read_text() == before


def test_what_the_machine_lacks_is_said_at_once(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool, **_: None if tool != "docker" else tool)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert checkout.lab(*UP, "--yes") == 1
    said = capsys.readouterr().err
    assert "run it with sudo" in said
    assert "apt install debootstrap maven" in said


def test_doctor_looks_for_what_makes_them(
    checkout: Checkout,
    built: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkout.lab(*UP, "--yes")
    monkeypatch.setattr(install, "python_ready", lambda _: True)
    monkeypatch.setattr(
        choose, "lacks", lambda: ["images from packages need mvn: apt install maven"]
    )
    assert checkout.lab("doctor", "dev") == 1
    said = capsys.readouterr().out
    assert "apt install maven" in said
    assert "provider plugins" not in said


def test_down_names_the_images_that_stay(
    checkout: Checkout,
    built: list[str],
    terminal: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkout.lab(*UP, "--yes")
    terminal("dev")
    assert checkout.lab("down", "dev", "--data") == 0
    assert "docker image ls -q from-packages.invalid/*" in capsys.readouterr().err
