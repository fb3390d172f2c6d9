"""What a row of the table of verbs is made of (cli/verbs.py): verbs, arguments, and their words.

Standard library only, as it is read before anything is installed.
"""

import argparse
import difflib
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any

RUN = "requirements.txt"
TESTS = "requirements-dev.txt"


@dataclass(frozen=True)
class Argument:
    """One argument of a verb, as argparse takes it."""

    name: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Verb:
    """One verb: where its function is, and what must be set up before it runs."""

    name: str
    help: str
    run: str  # "module:function"; it takes argparse.Namespace and returns the exit code
    _: KW_ONLY
    group: str
    arguments: tuple[Argument, ...] = ()
    requirements: str = RUN  # the file to install from; empty: the machine's Python is enough
    engine: bool = True  # whether Pulumi must be there
    programs: tuple[str, ...] = ()  # other commands that it calls
    passes_on: bool = False  # whether words after `--` go to the plain command
    goes_on: bool = False  # whether the same command, given again, ends what was interrupted


def arg(name: str, **options: Any) -> Argument:
    """A row's argument; `name` is a word (`env`) or one option (`--json`)."""
    return Argument(name, options)


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """What to say of a word that is none of the known ones."""
    names = list(known)
    near = difflib.get_close_matches(word.lower(), names, n=1)
    hint = f"did you mean {near[0]}? There are" if near else "there are"
    return f"there is no {kind} {word!r}; {hint} {', '.join(names)}"


def one_of(kind: str, known: Iterable[str]) -> Callable[[str], str]:
    """An argument's type: one of the known words. argparse's `choices` guesses nothing."""
    names = tuple(known)

    def check(word: str) -> str:
        if word not in names:
            raise argparse.ArgumentTypeError(unknown(kind, word, names))
        return word

    return check


def positive(word: str) -> int:
    """A count: 1 or more."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not 1 or more")
    return number
