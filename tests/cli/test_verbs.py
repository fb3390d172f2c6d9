"""The command line itself: before anything is installed, and with wrong words."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import settings
from cli import command_line, verbs
from tests.cli.conftest import Checkout

ROOT = Path(__file__).parents[2]


def start(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `./lab` on a Python without any installed package (-S)."""
    command = [sys.executable, "-S", str(ROOT / "toolchain" / "start.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_needs_nothing_installed() -> None:
    answer = start("--help")
    assert answer.returncode == 0
    assert all(verb.name in answer.stdout for verb in verbs.VERBS)
    assert "exit codes" in answer.stdout
    assert len(answer.stdout.splitlines()) < 50


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "VERB"),
        (["upp"], "upp"),
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
    assert verbs.ENVIRONMENTS == settings.ENVIRONMENTS


@pytest.mark.parametrize("verb", verbs.VERBS, ids=lambda verb: verb.name)
def test_every_verb_has_its_function(verb: verbs.Verb) -> None:
    module, _, function = verb.run.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_help_and_table_show_the_same_exit_codes(checkout: Checkout) -> None:
    assert checkout.lab("check", "dev") in verbs.EXIT_CODES


@pytest.mark.parametrize("number", ["0", "-3", "x"])
def test_no_call_before_the_first_can_be_the_last(number: str) -> None:
    answer = start("rehearse", "dev", "--kill-at", number)
    assert answer.returncode == 2
    assert "--kill-at" in answer.stderr


def test_every_refusal_that_was_asked_for_counts() -> None:
    _, values = command_line.parse(["rehearse", "--fail", "Volume=a", "--fail", "Volume=b"])
    assert values.fail == ["Volume=a", "Volume=b"]
