"""Colours for people, JSON for programs."""

import io
import json
import sys

import pytest
from rich.console import Console

from cli.commands.doctor.finding import Finding
from cli.lib.tables import show
from settings.budget import Budget, Host, Load
from tests.cli.conftest import Checkout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_colour", "term"), [("", "xterm"), ("1", "xterm"), ("", "dumb")])
def test_colours_only_where_somebody_wants_them(
    no_colour: str, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Finding(what="a", found="b", remedy="c")
    warned = Finding(what="a", found="b", remedy="c", required=False)
    monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setenv("TERM", term)
    assert str(failed).startswith("FAIL  a")  # no terminal
    monkeypatch.setattr(sys, "stdout", Terminal())
    wanted = not no_colour and term == "xterm"
    assert str(failed).startswith("\x1b[31mFAIL\x1b[0m  a" if wanted else "FAIL  a")
    assert str(warned).startswith("\x1b[33mwarn\x1b[0m  a" if wanted else "warn  a")
    assert str(Finding(what="a", found="b")) == "ok    a: b"


@pytest.mark.parametrize(("limit", "red"), [(2048, True), (1024, False)])
def test_a_sum_that_does_not_fit_is_red(
    limit: int, red: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    host = Host(key="common.target", memory_mib=1536, cores=2)
    load = Load(name="kafka", key="services.kafka.container", memory_mib=limit)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=80)
    show(Budget(docker=host, containers=(load,)), console)
    assert isinstance(console.file, io.StringIO)
    assert ("\x1b[31m" in console.file.getvalue()) is red


def test_check(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkout.lab("check", "dev", "--json") == 0
    sound = {"file": "Pulumi.dev.yaml", "faults": [], "warnings": []}
    assert json.loads(capsys.readouterr().out) == sound
    (checkout.root / "stacks/Pulumi.dev-apps.yaml").unlink()
    assert checkout.lab("check", "dev", "--json") == 2
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert "stacks/Pulumi.dev-apps.yaml is missing" in fault


def test_budget_and_hosts(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkout.lab("budget", "lab", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["containers_mib"] == sum(
        load["memory_mib"] * load["count"] for load in found["containers"]
    )
    assert found["faults"] == []
    assert checkout.lab("hosts", "lab", "--json") == 0
    assert json.loads(capsys.readouterr().out)


def test_doctor(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    checkout.lab("doctor", "dev", "--json")
    found = json.loads(capsys.readouterr().out)
    assert {"what", "found", "remedy", "required"} == set(found[0])
    assert "Python" in [finding["what"] for finding in found]


@pytest.mark.parametrize("show_them", [True, False])
@pytest.mark.slow
def test_logins(checkout: Checkout, show_them: bool, capsys: pytest.CaptureFixture[str]) -> None:
    checkout.lab("init", "dev")
    checkout.lab("up", "dev", "foundation", "--yes")
    outputs = {"logins": {"vault": {"url": "https://x", "user": "root", "password": "secret"}}}
    (checkout.fake / "outputs.json").write_text(json.dumps(outputs))
    capsys.readouterr()
    assert checkout.lab("logins", "dev", "--json", *(["--show"] if show_them else [])) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["vault"]["password"] == ("secret" if show_them else None)
