"""`./lab secrets rotate` promises only what it can do."""

import pytest

from settings.common import FIXED
from tests.cli.conftest import Checkout


@pytest.mark.parametrize(("name", "server"), FIXED.items())
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
