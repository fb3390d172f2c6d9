"""`./lab rehearse --from REF`: what a new version does to a lab that stands."""

import argparse
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.commands.rehearse import perform
from cli.lib.fault import Fault
from rehearsal import earlier
from tests.harness.deploy import stack_config
from toolchain import install


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, as somebody."""
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout like this one, without a commit, with settings of its own.

    `./lab` takes it for its own. The committed Pulumi.dev.yaml is for people to change.
    """
    folder = tmp_path / "checkout"
    folder.mkdir()
    earlier.follow(folder)
    configure(folder)
    git(folder, "init", "--quiet")
    monkeypatch.setattr(install, "ROOT", folder)
    return folder


def values(ref: str, **change: object) -> argparse.Namespace:
    """`./lab rehearse dev --from REF --layer foundation --json`."""
    options = {"env": "dev", "layer": "foundation", "since": ref, "edits": [], "keep": False,
               "fail": [], "kill_at": None, "json": True, **change}  # fmt: skip
    return argparse.Namespace(**options)


def configure(folder: Path, change: Mapping[str, Any] | None = None) -> None:
    """Give a checkout the tests' own settings, with single values changed."""
    config = {"config": stack_config("dev", change)}
    (folder / "Pulumi.dev.yaml").write_text(json.dumps(config))


def replace(file: Path, old: str, new: str) -> None:
    """Change a text that stands once in a file."""
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.mark.engine
def test_what_changed_since_a_commit_is_told_by_layer(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = checkout / "layers/foundation/__init__.py"
    now = program.read_text()
    line = "    context.component(StoreContents)\n"
    replace(program, line, f'{line}    context.secret("gitlab-root")\n')
    generations = {"common.generations": {"vault-services": 2}}
    configure(checkout, {**generations, "foundation.vault.container.memory_mib": 640})
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "earlier")
    program.write_text(now)
    configure(checkout)
    replace(program, line, f'{line}    context.secret("gitlab-token")\n')

    edits = ["foundation.object_store.container.memory_mib=640"]
    assert perform.rehearse(values("HEAD", edits=edits)) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["from"] == git(checkout, "rev-parse", "HEAD")
    found = shown["layers"]["foundation"]
    assert found["created"] == ["RandomPassword gitlab-token"]
    assert found["deleted"] == ["RandomPassword gitlab-root"]
    assert found["replaced"] == ["RandomPassword vault-services"]
    assert {"Container store-container", "Container vault-container"} <= set(found["updated"])
    assert shown["set"] == edits
    effects = shown["effects"]
    assert (effects["reboots"], effects["replaced"], effects["deleted"]) == ([], [], [])
    assert "S3Bucket backups-bucket" in effects["kept"]
    assert shown["sum"] == {word: len(names) for word, names in found.items()}


@pytest.mark.engine
def test_a_checkout_that_changed_nothing_changes_nothing(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "now")
    assert perform.rehearse(values("HEAD", json=False)) == 0
    first, *effects, last = capsys.readouterr().out.strip().split("\n")
    assert first == "foundation: nothing to do"
    assert effects[:2] == [
        "machines that reboot, with everything on them: none",
        "services that are away: none",
    ]
    assert re.fullmatch(r"data: kept: \d.*; replaced: none; deleted: none", effects[2])
    assert "0 created, 0 updated, 0 replaced, 0 deleted" in last


def test_an_unknown_commit_is_one_line(checkout: Path) -> None:
    with pytest.raises(Fault, match=r"^there is no commit 'v9'") as fault:
        perform.rehearse(values("v9"))
    assert (fault.value.code, str(fault.value).count("\n")) == (2, 0)


def test_a_folder_without_history_is_one_line(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(checkout / "nowhere"))
    with pytest.raises(Fault, match=r"^--from needs git's history") as fault:
        perform.rehearse(values("HEAD"))
    assert (fault.value.code, str(fault.value).count("\n")) == (2, 0)


def test_a_machine_without_git_is_one_line(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "empty").mkdir()
    monkeypatch.setattr(os, "environ", {**os.environ, "PATH": str(checkout / "empty")})
    with pytest.raises(Fault, match=r"^--from needs git, which is not installed") as fault:
        earlier.commit("HEAD")
    assert (fault.value.code, str(fault.value).count("\n")) == (2, 0)
