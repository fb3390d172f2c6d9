"""Questions to the person at the terminal."""

import getpass
import os
import sys
from collections.abc import Callable

from cli.lib.fault import Fault


def answer(question: str, read: Callable[[str], str]) -> str:
    """A line that `read` gets; empty where it is ended with Ctrl-D instead."""
    try:
        return read(question).strip()
    except EOFError:
        print(file=sys.stderr)
        return ""


def confirmed(question: str, *, yes: bool = False) -> bool:
    """Ask for a yes; without a terminal only `yes` counts."""
    if yes:
        return True
    if not os.isatty(0):
        return False
    return answer(f"{question} [y/N] ", input).lower() in {"y", "yes"}


def typed(name: str, what: str) -> None:
    """Fault unless the person types `name`, for what cannot be undone."""
    if not os.isatty(0):
        raise Fault(f"{what} asks for a typed confirmation: run it on a terminal", 2)
    if answer(f"{what}. Type {name} to go on: ", input) != name:
        raise Fault("not confirmed; nothing was done")


def secret(what: str, *, twice: bool = False) -> str:
    """A secret, typed unseen, or the first line of standard input where that is no terminal."""
    if not os.isatty(0):
        value = sys.stdin.readline().strip()
    else:
        value = answer(f"{what}: ", getpass.getpass)
        if twice and answer("Again: ", getpass.getpass) != value:
            raise Fault("the two differ; nothing was done")
    if not value:
        raise Fault(f"{what} is needed: type it, or give it as a line of standard input", 2)
    return value
