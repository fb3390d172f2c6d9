"""`./lab secrets rotate` renews in the program what it writes, and promises no more."""

from collections.abc import Callable

import pytest

from settings.declarations import FIXED, SECRETS
from settings.stackfile import read_config
from tests.cli.conftest import Checkout
from tests.harness.deploy import deploy

NAME = "vault-apps"


@pytest.fixture
def dev(checkout: Checkout) -> Checkout:
    """`dev` with its stacks made."""
    assert checkout.lab("init", "dev") == 0
    checkout.forget()
    return checkout


def keepers(dev: Checkout) -> object:
    """On what the secret depends, in the real program with the settings of the checkout."""
    common = read_config(dev.root / "Pulumi.dev.yaml")["datalab:common"]
    change = {"common.generations": common.get("generations", {})}
    made = deploy("dev", change, layers=("foundation",))["foundation"]
    return made.one("RandomPassword", NAME).inputs["keepers"]


@pytest.mark.slow
def test_each_rotation_renews_the_secret(dev: Checkout) -> None:
    seen = [keepers(dev)]
    for _ in range(2):
        assert dev.lab("secrets", "rotate", NAME, "dev", "--yes") == 0
        seen.append(keepers(dev))
    assert len({str(one) for one in seen}) == 3, seen


def test_unconfirmed_nothing_is_written(
    dev: Checkout, terminal: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    file = dev.root / "Pulumi.dev.yaml"
    before = file.read_bytes()
    assert dev.lab("secrets", "rotate", NAME, "dev") == 1
    assert "--yes" in capsys.readouterr().err
    terminal("n")
    assert dev.lab("secrets", "rotate", NAME, "dev") == 1
    assert file.read_bytes() == before
    assert dev.lines == []


@pytest.mark.parametrize(
    ("name", "server"), [(name, SECRETS[name].first_login_of) for name in FIXED]
)
def test_a_first_administrators_password_is_changed_in_the_servers_own_page(
    checkout: Checkout, capsys: pytest.CaptureFixture[str], name: str, server: str
) -> None:
    file = checkout.root / "Pulumi.dev.yaml"
    before = file.read_text()
    assert checkout.lab("secrets", "rotate", name, "dev", "--yes") == 2
    said = capsys.readouterr().err
    assert f"change it in {server}'s own page" in said
    assert "`./lab logins` shows one that no longer holds" in said
    assert file.read_text() == before
    assert checkout.calls == []


def test_a_wrong_name_lists_those_that_can_be_rotated(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.lab("secrets", "rotate", "nonsense", "dev") == 2
    said = capsys.readouterr().err
    assert "vault-foundation" in said
    assert not [name for name in FIXED if name in said]
