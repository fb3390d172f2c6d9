"""`./lab init` with the real engine on the sample settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.cli.real import checkout

pytestmark = pytest.mark.engine

TOKEN = "pulumi@pam!lab=11111111-2222-3333-4444-555555555555"
PROGRAM = 'import pulumi\npulumi.export("token", pulumi.Config().get_secret("proxmoxApiToken"))\n'


def is_part(lines: Sequence[str], of: Sequence[str]) -> bool:
    """Whether `of` has all these lines, in their order."""
    rest = iter(of)
    return all(line in rest for line in lines)


def test_init_and_first_up(tmp_path: Path, pulumi_environment: Mapping[str, str]) -> None:
    made = checkout(tmp_path, pulumi_environment, PROGRAM)
    before = (tmp_path / "Pulumi.dev.yaml").read_text()
    answer = made.lab("init", "dev")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "Pulumi.dev.yaml").read_text() == before
    answer = made.lab("init", "dev", "--indexes")
    assert answer.returncode == 0, answer.stderr
    after = (tmp_path / "Pulumi.dev.yaml").read_text()
    assert "\nencryptionsalt:" in before, "dev's salt is committed, for its published passphrase"
    lines = after.splitlines()
    assert [line for line in lines if line not in before.splitlines()], "pip has an index"
    assert is_part(before.splitlines(), lines), "it kept its comments and layout"
    assert made.lab("check", "dev").returncode == 0
    up = made.lab("up", "dev", "foundation", "--yes")
    assert up.returncode == 0, up.stdout + up.stderr
    assert (tmp_path / ".state" / "rescue" / "dev-foundation.json").exists()
    assert made.lab("preview", "dev", "foundation", "--", "--expect-no-changes").returncode == 0
    again = made.lab("init", "dev")
    assert again.returncode == 0
    assert "made" not in again.stderr
    assert (tmp_path / "Pulumi.dev.yaml").read_text() == after


def test_init_lab_keeps_its_token_secret(
    tmp_path: Path, pulumi_environment: Mapping[str, str]
) -> None:
    made = checkout(tmp_path, pulumi_environment, PROGRAM)
    before = (tmp_path / "Pulumi.lab.yaml").read_text()
    for given in ("", "no token\n"):
        assert made.lab("init", "lab", typed=f"{given}").returncode == 2
    made.variables["PULUMI_CONFIG_PASSPHRASE"] = "own words"
    assert made.lab("init", "lab", typed="no token\n").returncode == 2
    assert (tmp_path / "Pulumi.lab.yaml").read_text() == before
    assert not (tmp_path / ".state").exists()
    answer = made.lab("init", "lab", typed=TOKEN)
    assert answer.returncode == 0, answer.stderr
    links = [path for path in tmp_path.glob("stacks/Pulumi.lab-*.yaml") if path.is_symlink()]
    assert len(links) == 4
    after = (tmp_path / "Pulumi.lab.yaml").read_text()
    assert is_part(before.splitlines(), after.splitlines())
    assert made.lab("init", "lab").returncode == 0
    assert (tmp_path / "Pulumi.lab.yaml").read_text() == after
    assert made.lab("check", "lab").returncode == 0
    up = made.lab("up", "lab", "foundation", "--yes")
    assert up.returncode == 0, up.stdout + up.stderr
    said = answer.stdout + answer.stderr + up.stdout + up.stderr
    assert TOKEN not in said
    for path in [*tmp_path.glob("Pulumi*.yaml"), *(tmp_path / ".state").rglob("*")]:
        if path.is_file():
            assert TOKEN not in path.read_text(), path
    made.variables["PULUMI_CONFIG_PASSPHRASE"] = "other words"
    wrong = made.lab("up", "lab", "foundation", "--yes")
    assert wrong.returncode == 1
    assert "incorrect passphrase" in wrong.stdout + wrong.stderr
