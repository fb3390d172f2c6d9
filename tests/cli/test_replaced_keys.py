"""`./lab check ENV --fix` rewrites keys of an earlier release, and nothing else of the file.

The files are those of commit b54ff9e, edited by hand as people do.
"""

import argparse
from pathlib import Path

import pytest

from cli.commands import check
from cli.lib import backend
from cli.lib.fault import Fault
from cli.lib.replaced_keys import rewritten
from settings import load
from settings.stackfile import document
from tests.harness.patched import ROOT

FILES = ROOT / "tests" / "fixtures" / "stacks" / "b54ff9e"
SALT = "encryptionsalt: v1:fOvMQOKJFow=:v1:9CpjEPbozZIku8rg:cNH02dfkPJaDCG3TE/29cqxogXVaFA==\n"
SECRET = "  datalab:proxmoxApiToken:\n    secure: v1:0c7Zb+/Aaaa=:bbbb==   # from pveum, 2026-11\n"


def text(environment: str) -> str:
    """The settings file of that commit."""
    return (FILES / f"Pulumi.{environment}.yaml").read_text(encoding="utf-8")


def changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that went, and those that came."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_dev_is_rewritten_in_three_lines() -> None:
    before = text("dev")
    assert changed(before, rewritten(before)) == (
        ["    place: docker\n", "    engine:\n"],
        ["    target:\n", "      kind: docker\n"],
    )


def test_lab_is_rewritten_in_four_lines() -> None:
    before = text("lab")
    assert changed(before, rewritten(before)) == (
        ["    place: proxmox\n", "    node:\n", "      name: pve\n"],
        ["    target:\n", "      kind: proxmox\n", "      node: pve\n"],
    )


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_the_settings_stay(environment: str) -> None:
    before = text(environment)
    after = rewritten(before)
    assert load(document(before)["config"], "") == load(document(after)["config"], "")
    assert rewritten(after) == after


def test_comments_salt_and_secure_values_stay_to_the_byte() -> None:
    before = (
        text("lab")
        .replace("    place: proxmox\n", "    # Where?\n    'place':   \"proxmox\"  # the box\n\n")
        .replace("    node:\n", "    node:  # bought 2024\n      # its name\n")
        .replace("  datalab:foundation:\n", SECRET + "  datalab:foundation:\n")
    ) + SALT
    after = rewritten(before)
    assert changed(before, after) == (
        [
            "    'place':   \"proxmox\"  # the box\n",
            "    node:  # bought 2024\n",
            "      name: pve\n",
        ],
        ["    target:  # bought 2024\n", "      kind: proxmox  # the box\n", "      node: pve\n"],
    )
    assert SALT in after
    assert SECRET in after
    assert "    # Where?\n" in after
    assert "      # its name\n" in after


def test_what_the_file_did_not_list_is_no_default_of_it() -> None:
    ghcr = "        ghcr: { kind: oci, url: https://ghcr.io, registry: ghcr.io }\n"
    before = text("lab").replace(ghcr, "")
    after = rewritten(before)
    assert "        ghcr: null\n" in after
    old, new = load(document(before)["config"], ""), load(document(after)["config"], "")
    assert old == new
    assert "ghcr" not in new.foundation.cache.upstreams
    assert "docker-hub" in new.foundation.cache.upstreams


def test_another_order_and_line_ends_of_windows() -> None:
    before = text("dev").replace("    place: docker\n", "")
    before = before.replace("      cores: 4\n", "      cores: 4\n    place: docker\n", 1)
    before = before.replace("\n", "\r\n")
    after = rewritten(before)
    assert "    target:\r\n      kind: docker\r\n      memory_mib: 10240" in after
    assert "place" not in after.partition("datalab:foundation")[0].partition("config")[2]
    assert "\n" not in after.replace("\r\n", "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "config:\n  common:\n    place: docker  # here\n    engine: {cores: 4}\n",
            "config:\n  common:\n    # here\n    target: { kind: docker, cores: 4}\n",
        ),
        (
            "config:\n  datalab:common: {place: docker, engine: {cores: 4}}\n",
            "config:\n  datalab:common: {target: { kind: docker, cores: 4}}\n",
        ),
        (
            "config:\n  datalab:common: {engine: {cores: 4}, place: docker}\n",
            "config:\n  datalab:common: {target: { kind: docker, cores: 4}}\n",
        ),
        (
            "config:\n  common:\n    node:\n    place: docker\n    engine:\n      cores: 4",
            "config:\n  common:\n    target:\n      kind: docker\n      cores: 4",
        ),
    ],
)
def test_other_ways_to_write_it(before: str, after: str) -> None:
    assert rewritten(before) == after


@pytest.mark.parametrize(
    "before",
    [
        "config:\n  common:\n    place: docker\n",
        "config:\n  common:\n    place: docker\n    engine: *e\n  x: &e {cores: 4}\n",
        "config:\n  a: &e {cores: 4}\n  common:\n    place: docker\n    engine: *e\n",
        "config:\n  a: &c {place: docker}\n  common:\n    <<: *c\n    engine: {cores: 4}\n",
        "config:\n  common:\n    place: [docker]\n    engine: {cores: 4}\n",
    ],
)
def test_what_would_change_more_is_left_to_its_owner(before: str) -> None:
    with pytest.raises((Fault, ValueError)):
        rewritten(before)


def test_the_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(text("dev"), encoding="utf-8")
    monkeypatch.setattr(backend, "stack_file", lambda _: file)
    monkeypatch.setattr(backend, "link_faults", lambda _: [])
    values = {"env": "dev", "json": False}
    assert check.run(argparse.Namespace(**values, fix=False)) == 0
    assert file.read_text() == text("dev")
    assert "`./lab check dev --fix` rewrites the file" in capsys.readouterr().err
    assert check.run(argparse.Namespace(**values, fix=True)) == 0
    assert file.read_text() == rewritten(text("dev"))
