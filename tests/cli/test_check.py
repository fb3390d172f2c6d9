"""`./lab check`: what can be seen wrong before anything runs."""

import pytest

from cli.lib import stackfile
from tests.cli.conftest import Checkout

INDEX = {"kind": "pypi", "url": "https://pip.example/simple", "user": "me"}
PASSWORDS = "datalab:upstreamPasswords"


def put(checkout: Checkout, *path: str, value: object) -> None:
    file = checkout.root / "Pulumi.dev.yaml"
    stackfile.write(file, stackfile.with_value(stackfile.read(file), ("config", *path), value))


def test_an_upstream_with_a_user_has_no_password(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    """`./lab check` found nothing, and the first preview failed."""
    path = ("datalab:foundation", "cache", "upstreams", "index")
    put(checkout, *path, value=INDEX)
    assert checkout.lab("check", "dev") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Pulumi.dev.yaml: {PASSWORDS}: is missing: index has a user")
    assert f"pulumi config set --secret {PASSWORDS} -s dev-foundation" in said
    put(checkout, PASSWORDS, value={"secure": "v1:nonce:cipher"})
    assert checkout.lab("check", "dev") == 0
