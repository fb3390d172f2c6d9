"""Ctrl-D at a question is no answer, and no traceback."""

import getpass

import pytest

from cli.lib import ask
from cli.lib.fault import Fault
from tests.cli.conftest import Checkout


@pytest.fixture
def hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal at which everything is answered by Ctrl-D."""

    def end(_: str = "") -> str:
        raise EOFError

    monkeypatch.setattr("cli.lib.ask.os.isatty", lambda _: True)
    monkeypatch.setattr("builtins.input", end)
    monkeypatch.setattr(getpass, "getpass", end)


@pytest.mark.usefixtures("hung_up")
def test_each_question_takes_it_as_not_confirmed() -> None:
    assert ask.confirmed("Go on?") is False
    with pytest.raises(Fault, match="not confirmed; nothing was done"):
        ask.typed("dev", "This deletes the data of dev")
    with pytest.raises(Fault, match="the token is needed") as caught:
        ask.secret("the token")
    assert caught.value.code == 2


@pytest.mark.usefixtures("hung_up")
def test_a_command_ends_with_a_documented_code(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "own words")
    assert checkout.lab("init", "lab") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_vault_keys_without_docker(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(checkout.fake))
    assert checkout.lab("vault", "keys", "dev") == 1
    assert "no docker command" in capsys.readouterr().err
