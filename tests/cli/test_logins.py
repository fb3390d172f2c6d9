"""`./lab logins`: masked unless asked for, and only of what is up."""

import json

import pytest

from cli.lib import backend
from layers import LAYERS
from tests.cli.conftest import Checkout

PASSWORD = "aS3cretOfThirtyTwoLettersAndDigits"
LOGIN = {"url": "https://localhost:9443", "user": "admin", "password": PASSWORD}


@pytest.fixture
def up(checkout: Checkout) -> Checkout:
    """`dev` with one login in its outputs."""
    stacks = {f"dev-{layer}": [{"urn": layer}] for layer in LAYERS}
    (checkout.fake / "state.json").write_text(json.dumps({backend.url("dev"): stacks}))
    (checkout.fake / "outputs.json").write_text(json.dumps({"logins": {"portainer": LOGIN}}))
    return checkout


def test_passwords_are_masked_unless_asked_for(
    up: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert up.lab("logins", "dev") == 0
    said = capsys.readouterr()
    assert said.out == "portainer\thttps://localhost:9443\tadmin\t********\n"
    assert "--show" in said.err
    assert up.lab("logins", "dev", "--show") == 0
    said = capsys.readouterr()
    assert said.out == f"portainer\thttps://localhost:9443\tadmin\t{PASSWORD}\n"
    assert PASSWORD not in said.err


def test_a_terminal_gets_a_table_with_whole_passwords(
    up: Checkout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert up.lab("logins", "dev", "--show") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "portainer" in line)
    assert all(value in line for value in LOGIN.values())


def test_layers_that_are_not_up_are_not_asked(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.lab("logins", "dev") == 1
    assert "run ./lab up dev first" in capsys.readouterr().err
    assert checkout.lines == []


def test_one_login_by_its_name(up: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.lab("logins", "dev", "portainer", "--json", "--show") == 0
    assert json.loads(capsys.readouterr().out) == {"portainer": LOGIN}
    assert up.lab("logins", "dev", "portaner") == 2
    assert "there is no login 'portaner'" in capsys.readouterr().err
