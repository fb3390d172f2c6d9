"""What every command of `./lab` is made of: its verb, its arguments, and words they share.

Standard library only, as it is read before anything is installed.
"""

import argparse
import difflib
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from layers import LAYERS
from toolchain.install import RUN

ENVIRONMENTS = ("dev", "lab")  # settings.ENVIRONMENTS, which needs pydantic; a test compares them
START, DAILY, REPAIR, CI = GROUPS = ("start here", "day by day", "repair", "CI and tests")

EXIT_CODES = {
    0: "done",
    1: "failed; the message says what and what to do",
    2: "wrong words, an unknown commit, or faults in the settings; nothing was touched",
    3: "Pulumi: authentication failed",
    6: "Pulumi: no such stack; `./lab init ENV` makes it",
    7: "changes where none were expected; `status`: something is not as the settings want it",
    130: "interrupted with Ctrl-C",
}


@dataclass(frozen=True)
class Argument:
    """One argument of a verb, as argparse takes it."""

    name: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Verb:
    """One verb: its words, and what must be set up before it runs."""

    name: str  # its module's
    help: str
    _: KW_ONLY
    group: str
    order: int  # among those of its group in `./lab help`
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
    hint = f"{near} There" if (near := nearest(word.lower(), names)) else "; there"
    return f"there is no {kind} {word!r}{hint} are {', '.join(names)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """What to add to what is said of a wrong word: the known one that is like it, if any is."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def action(*known: str) -> Argument:
    """The word after the name of a verb that does several things."""
    check = one_of("action", known)
    return arg("action", metavar="|".join(known), type=check, help="what to do")


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


environment = one_of("environment", ENVIRONMENTS)
layer = one_of("layer", LAYERS)
ENV = arg("env", metavar="ENV", type=environment, help=" or ".join(ENVIRONMENTS))
MAYBE_ENV = arg("env", metavar="ENV", type=environment, nargs="?", help=ENV.options["help"])
ONLY_ENV = arg("env", metavar="ENV", type=environment, nargs="?", help="default: the one set up")
LAYER = arg(
    "layer", metavar="LAYER", type=layer, nargs="?", help=f"{', '.join(LAYERS)}; default: all"
)
JSON = arg("--json", action="store_true", help="the result as JSON")
YES = arg("--yes", action="store_true", help="do not ask")
