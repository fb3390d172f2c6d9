"""The command line itself: before anything is installed, and with wrong words."""

import errno
import importlib
import io
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import settings
from cli import main as command_line
from cli.lib.command import ENVIRONMENTS, EXIT_CODES, GROUPS, Verb
from cli.lib.fault import Fault
from tests.cli.conftest import Checkout
from toolchain.install import SetupError

ROOT = Path(__file__).parents[2]
VERBS = command_line.verbs()


def start(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `./lab` on a Python without any installed package (-S)."""
    command = [sys.executable, "-S", str(ROOT / "cli" / "start.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_needs_nothing_installed() -> None:
    answer = start("--help")
    assert answer.returncode == 0
    assert all(verb.name in answer.stdout for verb in VERBS)
    assert "exit codes" in answer.stdout
    assert len(answer.stdout.splitlines()) < 50
    assert start().stdout == start("help").stdout == answer.stdout
    assert start().returncode == 0


def test_help_of_one_verb() -> None:
    answer = start("help", "up")
    assert answer.returncode == 0
    assert answer.stdout == start("up", "--help").stdout
    assert "usage: ./lab up" in answer.stdout


def test_every_group_has_its_verbs() -> None:
    parts = start().stdout.split("\n\n")
    heads = [part.splitlines()[0] for part in parts[2:-1]]
    assert heads == [f"{group}:" for group in GROUPS]
    shown = [line.split()[0] for part in parts[2:-1] for line in part.splitlines()[1:]]
    assert sorted(shown) == sorted(verb.name for verb in VERBS)


def test_version() -> None:
    answer = start("--version")
    assert re.fullmatch(r"datalab \d+\.\d+\.\d+( \(\S+\))?, Pulumi v3\.\d+\.\d+\n", answer.stdout)


ACTS = {"init", "up", "down", "secrets", "repair", "state", "gitlab", "ci", "test"}
# What a service wrote, an address, and the client's own words (`./lab edge ENV sql --json`).
OTHERS_WORDS = {"logs", "open", "edge"}


def test_what_reads_can_be_read_by_a_program() -> None:
    assert {verb.name for verb in VERBS} > ACTS
    without = [verb for verb in VERBS if "--json" not in {a.name for a in verb.arguments}]
    assert {verb.name for verb in without} == ACTS | OTHERS_WORDS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["upp"], "there is no verb 'upp'; did you mean up?"),
        (["help", "chek"], "did you mean check?"),
        (["xyzzy"], "there is no verb 'xyzzy'"),
        (["up", "lob"], "there is no environment 'lob'; did you mean lab?"),
        (["up", "dev", "servises"], "there is no layer 'servises'; did you mean services?"),
        (["rehearse", "--layer", "plattform"], "did you mean platform?"),
        (["up"], "ENV"),
        (["up", "prod"], "dev"),
        (["up", "dev", "kernel"], "foundation"),
        (["up", "dev", "--nonsense"], "--nonsense"),
        (["state", "copy", "lab"], "move"),
        (["test", "slow"], "engine"),
        (["check", "dev", "--", "--diff"], "--"),
        (["rehearse", "--kill-at", "soon"], "soon"),
    ],
)
def test_wrong_words_are_said_before_a_set_up(words: list[str], said: str) -> None:
    answer = start(*words)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.splitlines()) <= 2


def test_environments_are_the_settings_own() -> None:
    assert ENVIRONMENTS == settings.ENVIRONMENTS


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_has_its_function(verb: Verb) -> None:
    module = importlib.import_module(f"cli.commands.{verb.name}")
    assert verb == module.VERB
    assert callable(module.run)


def test_help_and_table_show_the_same_exit_codes(checkout: Checkout) -> None:
    assert checkout.lab("check", "dev") in EXIT_CODES


@pytest.mark.parametrize("number", ["0", "-3", "x"])
def test_no_call_before_the_first_can_be_the_last(number: str) -> None:
    answer = start("rehearse", "dev", "--kill-at", number)
    assert answer.returncode == 2
    assert "--kill-at" in answer.stderr


def test_every_refusal_that_was_asked_for_counts() -> None:
    _, values = command_line.parse(["rehearse", "--fail", "Volume=a", "--fail", "Volume=b"])
    assert values.fail == ["Volume=a", "Volume=b"]


def test_up_does_not_wait_for_packages_that_it_seldom_needs() -> None:
    """rich draws a budget that does not fit; GitLab's client asks for what a kill left open."""
    asked = "import sys, cli.lib.stacks; print({'gitlab', 'requests', 'rich'} & {*sys.modules})"
    command = [sys.executable, "-c", asked]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout == "set()\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SetupError("no such uv"), 1, "lab: no such uv\n"),
        (Fault("no such stack", 6), 6, "lab: no such stack\n"),
        (KeyboardInterrupt(), 130, "\nlab: interrupted; run the same command again to go on\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "lab: /x: No space left"),
        (BrokenPipeError(), 0, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_set_up_that_fails_is_said_as_a_verb_that_fails_is(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise error

    up = command_line.module("up")
    monkeypatch.setattr(up, "run", fails)
    for set_up in (fails, lambda _: None):
        monkeypatch.setattr(sys, "stderr", told := Told())
        assert command_line.main(["up", "dev"], set_up) == code
        assert told.getvalue().startswith(said)


class Told(io.StringIO):
    """Standard error of one run, which a pipe that broke closes."""

    def close(self) -> None:
        pass


def test_arguments_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, begun = [], list[Verb]()
    parse = command_line.parse

    def count(words: Sequence[str]) -> object:
        parsed.append(words)
        return parse(words)

    monkeypatch.setattr(command_line, "parse", count)
    monkeypatch.setattr(command_line.module("up"), "run", lambda values: len(values.extra))
    assert command_line.main(["up", "dev", "--", "-v", "-v"], begun.append) == 2
    assert parsed == [["up", "dev", "--", "-v", "-v"]]
    assert [verb.name for verb in begun] == ["up"]
