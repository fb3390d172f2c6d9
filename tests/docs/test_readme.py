"""What README and pages tell people to type is what the command line takes."""

import re
import shlex

import pytest

from cli.main import parse
from docs.generate import FOLDER
from settings.declarations import SECRETS

README = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
# In blocks of shell, in comments there, and in the text.
COMMAND = re.compile(r"\./lab ((?:[^\n`)#|>]*[^\s`)#:;,|>]))")
COMMANDS = COMMAND.findall(README)
PAGES = (FOLDER / "your-laptop.md", FOLDER / "upgrading.md", FOLDER.parent / "CHANGELOG.md")
ELSEWHERE = [word for page in PAGES for word in COMMAND.findall(page.read_text(encoding="utf-8"))]


def test_all_are_found() -> None:
    assert len(COMMANDS) >= README.count("./lab ") - 1 > 10


@pytest.mark.parametrize("command", sorted({*COMMANDS, *ELSEWHERE}))
def test_each_command_parses(command: str) -> None:
    if command in ("help", "--version"):  # which end the program
        return
    words = command.replace("NAME", next(iter(SECRETS))).replace("ENV", "dev")
    verb, _ = parse(shlex.split(words))
    assert command.startswith(verb.name)


def test_a_lab_is_told_to_pin_before_it_comes_up() -> None:
    assert "pin" in COMMANDS
