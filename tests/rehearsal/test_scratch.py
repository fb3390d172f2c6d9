"""The scratch project: what the program is given, and what it cannot touch."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layers import LAYERS
from rehearsal import mocks, scratch
from settings import PROJECT, SettingsError
from tests.harness.deploy import stack_config
from tests.harness.patched import sample
from tests.harness.process import PATIENCE_S


def test_the_project_is_the_checkouts_program_in_a_folder_of_its_own(tmp_path: Path) -> None:
    made = scratch.make("lab", tmp_path / "it", sample("lab"))
    project = json.loads((made.folder / "Pulumi.yaml").read_text())
    assert Path(project["main"]) == Path(__file__).parent.parent.parent
    for layer in LAYERS:
        link = made.folder / f"stacks/Pulumi.lab-{layer}.yaml"
        assert str(link.readlink()) == "../Pulumi.lab.yaml"
    inside = [made.settings.common.trust_path, made.settings.common.rescue.path]
    assert all(Path(path).is_relative_to(made.folder) for path in inside)


def test_secrets_and_salt_of_the_checkout_are_left_out(tmp_path: Path) -> None:
    config = stack_config("lab")
    config[f"{PROJECT}:proxmoxApiToken"] = {"secure": "v1:abc"}
    made = scratch.make("lab", tmp_path, config)
    text = (made.folder / "Pulumi.lab.yaml").read_text()
    assert "secure" not in text
    assert "encryptionsalt" not in text


def test_a_text_with_the_word_is_no_secret(tmp_path: Path) -> None:
    config = stack_config("dev")
    config[f"{PROJECT}:common"] = json.dumps(config[f"{PROJECT}:common"] | {"region": "secure"})
    assert mocks.deploy_layer("foundation", "dev", config, {}).settings.common.region == "secure"
    scratch.make("dev", tmp_path, sample("dev"))
    file = tmp_path / "Pulumi.dev.yaml"
    there = json.loads(file.read_text())
    pushed = {f"{PROJECT}:pushedImages"}
    there["config"] |= {**dict.fromkeys(pushed, '{"secure": 1}'), "a:b": {"secure": "v1:x"}}
    file.write_text(json.dumps(there))
    scratch.make("dev", tmp_path, sample("dev"))
    assert json.loads(file.read_text())["config"].keys() == {*there["config"], "a:b"} - pushed


def test_nothing_of_the_users_pulumi_and_servers_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PULUMI_ACCESS_TOKEN", "DOCKER_HOST", "VAULT_TOKEN", "AWS_PROFILE", "PGHOST"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("PULUMI_HOME", "/home/me/.pulumi")
    found = scratch.variables(tmp_path)
    assert "mine" not in found.values()
    assert found["PULUMI_HOME"] == str(tmp_path / "home")
    # Without the option a kill leaves an empty side file, and a stack that no command can read.
    assert found["PULUMI_BACKEND_URL"] == f"{(tmp_path / 'state').as_uri()}?metadata=skip"
    assert found["PATH"].startswith(str(tmp_path / "bin") + os.pathsep)


def test_faulty_settings_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    config = stack_config("lab", {"common.domain": "not a domain"})
    with pytest.raises(SettingsError, match="domain"):
        scratch.make("lab", tmp_path / "it", config)
    assert not (tmp_path / "it").exists()


def test_the_ground_is_what_the_settings_say(tmp_path: Path) -> None:
    lab = scratch.facts(scratch.make("lab", tmp_path / "lab", sample("lab")).settings)
    assert lab.node == "pve"
    assert lab.storages["local-lvm"].content == ("images", "rootdir")
    assert lab.pci[0].path == "0000:01:00"
    assert lab.names["vault.lab.home.arpa"] == "192.168.1.102"
    dev = scratch.facts(scratch.make("dev", tmp_path / "dev", sample("dev")).settings)
    assert (dev.node, dev.engine_address) == ("", "127.0.0.1")


def test_only_the_projects_own_processes_are_ended(tmp_path: Path) -> None:
    made = scratch.make("dev", tmp_path, sample("dev"))
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    own = subprocess.Popen(sleep, env=dict(made.engine.variables))
    other = subprocess.Popen(sleep)
    try:
        made.kill_leftovers()
        assert own.wait(PATIENCE_S) < 0
        assert other.poll() is None
    finally:
        for process in (own, other):
            process.kill()
            process.wait()


def test_what_is_started_during_the_look_ends_too(tmp_path: Path) -> None:
    """CI: a child of the engine, started meanwhile, wrote into the folder that was removed."""
    made = scratch.make("dev", tmp_path, sample("dev"))
    seen = tmp_path / "seen"
    seen.touch()
    child = 'for _ in $(seq 500); do date >> "$0"; sleep 0.01; done'
    parent = 'for _ in $(seq 500); do sh -c "$0" "$1" & sleep 0.001; done'
    engine = subprocess.Popen(
        ["sh", "-c", parent, child, str(seen)], env=dict(made.engine.variables)
    )
    while not seen.stat().st_size:
        time.sleep(0.01)
    made.kill_leftovers()
    size = seen.stat().st_size
    engine.wait()
    time.sleep(0.1)
    assert seen.stat().st_size == size
