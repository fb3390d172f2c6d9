"""`./lab init`: what it makes, what it asks, and that no secret leaves the pipe."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli import backend, init
from layers import LAYERS
from tests.cli.conftest import Checkout

TOKEN = "pulumi@pam!lab=11111111-2222-3333-4444-555555555555"


@pytest.fixture(autouse=True)
def indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's own indexes."""
    monkeypatch.setattr(init, "pip_index", lambda: "https://pip.example/simple")
    monkeypatch.setattr(init, "npm_registry", lambda: "https://npm.example/")


def test_makes_what_is_missing_and_nothing_twice(checkout: Checkout) -> None:
    assert checkout.lab("init", "dev") == 0
    stacks = [f"stack init dev-{layer} --non-interactive" for layer in LAYERS]
    assert checkout.lines[:4] == stacks
    checkout.forget()
    assert checkout.lab("init", "dev") == 0
    assert not [line for line in checkout.lines if line.startswith("stack init")]


def test_interrupted_between_stacks_it_goes_on(checkout: Checkout) -> None:
    checkout.fail_at("stack init dev-services")
    assert checkout.lab("init", "dev") == 255
    checkout.mend()
    assert checkout.lab("init", "dev") == 0
    assert sorted(checkout.state(backend.url("dev"))) == sorted(f"dev-{x}" for x in LAYERS)


def test_the_operators_indexes_become_upstreams(checkout: Checkout) -> None:
    checkout.lab("init", "dev")
    path = "datalab:foundation.cache.upstreams"
    wanted = [
        f"config set --path {path}.pypi.kind pypi -s dev-foundation --non-interactive",
        f"config set --path {path}.pypi.url https://pip.example/simple -s dev-foundation "
        "--non-interactive",
    ]
    assert [line for line in checkout.lines if "pypi" in line] == wanted
    assert any(f"{path}.npm.url https://npm.example/" in line for line in checkout.lines)


def test_an_index_with_credentials_is_not_written(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(init, "pip_index", lambda: "https://me:planted@pip.example/simple")
    assert checkout.lab("init", "dev") == 0
    assert not [line for line in checkout.lines if "pypi" in line]
    said = "".join(capsys.readouterr())
    assert "foundation.cache.upstreams.pypi.url" in said
    assert "planted" not in said


def test_lab_asks_for_passphrase_twice_and_token_once(
    checkout: Checkout, terminal: Callable[..., None]
) -> None:
    terminal(secrets=("own words", "own words", TOKEN))
    assert checkout.lab("init", "lab") == 0
    calls = [call for call in checkout.calls if "proxmoxApiToken" in call["line"]]
    assert [(call["line"], call["stdin"]) for call in calls] == [
        ("config set --secret datalab:proxmoxApiToken -s lab-foundation --non-interactive", TOKEN)
    ]
    assert {call["env"]["PULUMI_CONFIG_PASSPHRASE"] for call in checkout.calls} == {"own words"}
    assert not [call for call in checkout.calls if TOKEN in call["line"]]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (("one", "another"), 1),
        (("dev", "dev"), 2),
        (("own words", "own words", "secret-without-a-user"), 2),
    ],
    ids=["passphrases-differ", "published-passphrase", "no-token"],
)
def test_wrong_answers_are_refused_and_not_repeated(
    checkout: Checkout,
    terminal: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    answers: tuple[str, ...],
    code: int,
) -> None:
    terminal(secrets=answers)
    assert checkout.lab("init", "lab") == code
    assert not [call for call in checkout.calls if "proxmoxApiToken" in call["line"]]
    assert "secret-without-a-user" not in "".join(capsys.readouterr())


def test_a_token_that_is_there_is_not_asked_for(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "own words")
    file = checkout.root / "Pulumi.lab.yaml"
    key = "  datalab:proxmoxApiToken:\n    secure: v1:AAAA:BBBB\n"
    file.write_text(file.read_text().replace("config:\n", f"config:\n{key}", 1))
    assert checkout.lab("init", "lab") == 0
    assert not [call for call in checkout.calls if "proxmoxApiToken" in call["line"]]


def test_pip_index_is_what_pip_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    default = init.pip_index()
    assert default
    assert default.startswith("https://")
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mine.example/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert init.pip_index() == "https://mine.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example/simple")
    assert init.pip_index() == "https://env.example/simple"
