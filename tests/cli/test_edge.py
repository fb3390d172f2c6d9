"""`./lab edge`: the client gets its credentials from the stack, and nobody else sees them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.commands.edge import CLIENT
from cli.lib import backend
from layers import LAYERS
from tests.cli.conftest import Checkout
from tests.harness.lakehouse import Lakehouse, lakehouse

PASSWORD = "aS3cretOfThirtyTwoLettersAndDigits"
DOCUMENT: Mapping[str, Any] = {
    "postgresql": {"host": "127.0.0.1", "port": 5432},
    "s3": {"endpoint": "https://127.0.0.1:9000", "access_key": "a", "secret_key": PASSWORD},
    "catalogs": {"stage": {"user": "lakehouse", "password": PASSWORD}},
}


def come_up(checkout: Checkout, document: Mapping[str, Any]) -> None:
    """`dev`, whose services say that this is how the lake is reached."""
    stacks = {f"dev-{layer}": [{"urn": layer}] for layer in LAYERS}
    (checkout.fake / "state.json").write_text(json.dumps({backend.url("dev"): stacks}))
    outside = {"lakehouse": {"outside": json.dumps(document), "inside": "{}"}}
    (checkout.fake / "outputs.json").write_text(json.dumps(outside))


def test_the_client_gets_what_the_services_export(
    checkout: Checkout, capfd: pytest.CaptureFixture[str]
) -> None:
    come_up(checkout, DOCUMENT)
    assert checkout.lab("edge", "dev", "credentials") == 0
    said = capfd.readouterr()
    found = json.loads(said.out)
    assert found["catalogs"]["stage"]["password"] == PASSWORD
    assert found["postgresql"] == {**DOCUMENT["postgresql"], "database": "lakehouse"}
    assert PASSWORD not in said.err
    assert checkout.lines == [
        "stack output --json --show-secrets -s dev-services --non-interactive"
    ]


def test_no_argument_holds_a_credential(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_up(checkout, DOCUMENT)
    started: list[Any] = []

    def wait(*given: Any) -> int:
        started.extend(given)
        return 7

    monkeypatch.setattr("cli.lib.pulumi.wait", wait)
    assert checkout.lab("edge", "dev", "sql", "--json", "SELECT 1") == 7
    command, folder, environment = started
    assert command[-3:] == ["sql", "--json", "SELECT 1"]
    assert PASSWORD not in " ".join(command)
    assert folder == Path.cwd()
    assert json.loads(environment["DATALAB_LAKE"]) == DOCUMENT


@pytest.mark.parametrize("words", [(), ("--help",), ("sql", "--help")])
def test_help_needs_no_lab(
    checkout: Checkout, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert checkout.lab("edge", "dev", *words) == 0
    assert capfd.readouterr().out.startswith("usage: ./lab edge dev")
    assert checkout.calls == []


@pytest.mark.parametrize("outputs", [None, {"mlflow": {}}])
def test_a_lab_without_a_lakehouse_is_told_to_come_up(
    checkout: Checkout, capfd: pytest.CaptureFixture[str], outputs: dict[str, Any] | None
) -> None:
    """It is not up, or was brought up by a release that had none."""
    if outputs:
        come_up(checkout, DOCUMENT)
        (checkout.fake / "outputs.json").write_text(json.dumps(outputs))
    assert checkout.lab("edge", "dev", "status") == 1
    said = capfd.readouterr().err
    assert said == "lab: dev has no lakehouse yet: run ./lab up dev first\n"


@pytest.mark.service
def test_what_needs_much_has_an_environment_of_its_own(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notebook's is made the same way; tests/lake installs both files of requirements."""
    come_up(checkout, DOCUMENT)
    started: list[list[str]] = []

    def wait(command: list[str], *_: Any) -> int:
        started.append(command)
        return 0

    monkeypatch.setattr("cli.lib.pulumi.wait", wait)
    for _ in range(2):
        assert checkout.lab("edge", "dev", "monitor", "--json") == 0
    (python, *words), again = started
    assert words == ["-P", "-m", "datalab_edge", "monitor", "--json"]
    assert again[0] == python != sys.executable
    needed = "import scipy, sklearn, datalab_edge.lake as lake; lake.extension_file('ducklake')"
    done = subprocess.run([python, "-c", needed], env={"PYTHONPATH": str(CLIENT)}, check=False)
    assert done.returncode == 0


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lakehouse]:
    folder = tmp_path / "lake"
    folder.mkdir()
    with lakehouse(folder) as made:
        yield made


@pytest.mark.service
def test_the_lake_itself_answers(
    checkout: Checkout, lake: Lakehouse, capfd: pytest.CaptureFixture[str]
) -> None:
    come_up(checkout, lake.document)
    for query in ("CREATE TABLE marts.main.kept AS FROM range(20)", "FROM marts.main.kept LIMIT 1"):
        assert checkout.lab("edge", "dev", "sql", query, "--csv") == 0
    assert capfd.readouterr().out.endswith("range\n0\n")
    # Its input is at its end, so it is over once everything is attached.
    assert checkout.lab("edge", "dev", "shell") == 0
    assert "rror" not in (said := capfd.readouterr()).out + said.err
