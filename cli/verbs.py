"""The verbs of `./lab`: one row each. A new verb is a row here and a function in a module.

Standard library only, as it is read before anything is installed.
"""

import argparse
from dataclasses import KW_ONLY, dataclass
from typing import Any

from layers import LAYERS

ENVIRONMENTS = ("dev", "lab")  # settings.ENVIRONMENTS, which needs pydantic; a test compares them
TIERS = ("lint", "unit", "engine", "service")
QUICK = "quick"  # the tests of lint and unit that take no root and little time
RUN = "requirements.txt"
TESTS = "requirements-dev.txt"

EXIT_CODES = {
    0: "done",
    1: "failed; the message says what and what to do",
    2: "wrong words, an unknown commit, or faults in the settings; nothing was touched",
    3: "Pulumi: authentication failed",
    6: "Pulumi: no such stack; `./lab init ENV` makes it",
    7: "changes where none were expected",
    130: "interrupted with Ctrl-C; run the same command again",
}


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
    arguments: tuple[Argument, ...] = ()
    requirements: str = RUN  # the file to install from; empty: the machine's Python is enough
    engine: bool = True  # whether Pulumi must be there
    programs: tuple[str, ...] = ()  # other commands that it calls
    passes_on: bool = False  # whether words after `--` go to the plain command


def arg(name: str, **options: Any) -> Argument:
    """A row's argument; `name` is a word (`env`) or one option (`--json`)."""
    return Argument(name, options)


def tier(word: str) -> str:
    """A tier's name; argparse's `choices` refuses the empty list that means all."""
    if word not in (QUICK, *TIERS):
        raise argparse.ArgumentTypeError(
            f"there is no tier {word!r} (choose from {', '.join((QUICK, *TIERS))})"
        )
    return word


def positive(word: str) -> int:
    """A count: 1 or more."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not 1 or more")
    return number


ENV = arg("env", metavar="ENV", choices=ENVIRONMENTS, help=" or ".join(ENVIRONMENTS))
MAYBE_ENV = arg("env", metavar="ENV", choices=ENVIRONMENTS, nargs="?", help=ENV.options["help"])
LAYER = arg(
    "layer", metavar="LAYER", choices=LAYERS, nargs="?", help=f"{', '.join(LAYERS)}; default: all"
)
CI_ACTIONS = ("preview", "note", "notes", "pending", "deploy", "drift", "images")
YES = arg("--yes", action="store_true", help="do not ask")

VERBS = (
    Verb(
        "rehearse",
        "bring the whole lab up in simulation, prove it, take it down",
        "rehearsal.command:rehearse",
        arguments=(
            arg(
                "env",
                metavar="ENV",
                choices=ENVIRONMENTS,
                nargs="?",
                default="lab",
                help="dev or lab; default: lab",
            ),
            arg("--layer", choices=LAYERS, help="stop after this layer"),
            arg(
                "--from",
                dest="since",
                metavar="REF",
                help="bring it up by that commit's program and settings, then apply this checkout: "
                "what is created, updated, replaced and deleted",
            ),
            arg("--keep", action="store_true", help="leave the state and say how to look at it"),
            arg(
                "--fail",
                metavar="TYPE=NAME",
                action="append",
                default=[],
                help="that resource's next operation is refused; may be given again",
            ),
            arg(
                "--kill-at",
                metavar="N",
                type=positive,
                help="the engine dies after the Nth call that changed the world",
            ),
            arg("--json", action="store_true", help="the result as JSON"),
        ),
    ),
    Verb(
        "init",
        "make state folder and stacks; ask for what only you know",
        "cli.init:init",
        arguments=(ENV,),
    ),
    Verb(
        "preview",
        "what `up` would do",
        "cli.stacks:preview",
        passes_on=True,
        arguments=(ENV, LAYER),
    ),
    Verb(
        "up",
        "bring layers up, lowest first, and see that their containers are healthy",
        "cli.stacks:up",
        passes_on=True,
        arguments=(ENV, LAYER, YES),
    ),
    Verb(
        "down",
        "take layers down, highest first; data and the servers it stands on stay",
        "cli.stacks:down",
        passes_on=True,
        arguments=(
            ENV,
            LAYER,
            YES,
            arg("--data", action="store_true", help="data too, after you typed ENV's name"),
        ),
    ),
    Verb(
        "drift",
        "whether everything is still as the state says, machines' insides included",
        "cli.drift:drift",
        arguments=(ENV, LAYER),
    ),
    Verb(
        "repair",
        "after a killed `up`: remove its lock, settle what it left open",
        "cli.repair:repair",
        arguments=(ENV, LAYER, YES),
    ),
    Verb(
        "env",
        'what plain `pulumi` needs: eval "$(./lab env dev)"',
        "cli.backend:print_env",
        arguments=(ENV,),
    ),
    Verb(
        "check",
        "validate the settings, every fault at once",
        "cli.reports:check",
        arguments=(ENV,),
        engine=False,
    ),
    Verb(
        "budget",
        "memory, cores and disk: what is planned and what fits",
        "cli.reports:budget",
        arguments=(ENV,),
        engine=False,
    ),
    Verb(
        "hosts",
        "lines for /etc/hosts of a laptop",
        "cli.reports:hosts",
        arguments=(ENV,),
        engine=False,
    ),
    Verb(
        "doctor",
        "what this machine has and lacks, and what to do about it",
        "cli.doctor:doctor",
        requirements="",
        arguments=(MAYBE_ENV,),
        engine=False,
    ),
    Verb(
        "pin",
        "fill empty digests and checksums of images.yaml from their sources",
        "cli.pin:pin",
        engine=False,
    ),
    Verb(
        "vault",
        "keys: show Vault's unseal key, to keep a copy elsewhere",
        "cli.vault:vault",
        arguments=(arg("action", metavar="keys", choices=("keys",), help="what to do"), ENV),
    ),
    Verb(
        "state",
        "move: state into the lab's own store; rescue: restore the foundation's",
        "cli.state:state",
        arguments=(
            arg("action", metavar="move|rescue", choices=("move", "rescue"), help="what to do"),
            ENV,
            YES,
        ),
    ),
    Verb(
        "logins",
        "where the services' administrators log in",
        "cli.logins:logins",
        arguments=(ENV, arg("--show", action="store_true", help="the passwords too")),
    ),
    Verb(
        "secrets",
        "make a generated secret anew, at its server and all its users",
        "cli.secrets:secrets",
        arguments=(
            arg("action", metavar="rotate", choices=("rotate",), help="what to do"),
            arg("name", metavar="NAME", help="its name; a wrong one lists them"),
            ENV,
            YES,
        ),
    ),
    Verb(
        "gitlab",
        "publish: this repository into the lab's GitLab, with what its pipelines need",
        "cli.ci.publish:run",
        programs=("git",),
        arguments=(
            arg("action", metavar="publish", choices=("publish",), help="what to do"),
            ENV,
            YES,
        ),
    ),
    Verb(
        "ci",
        "what the lab's own pipelines run; docs/ci.md",
        "cli.ci.run:run",
        programs=("git",),
        arguments=(
            arg("action", metavar="ACTION", choices=CI_ACTIONS, help=", ".join(CI_ACTIONS)),
            ENV,
            LAYER,
        ),
    ),
    Verb(
        "cache",
        "the package cache's figures; `env`: what makes a laptop use it; `forget URL`",
        "cli.cache:cache",
        arguments=(
            arg(
                "what",
                metavar="WHAT",
                choices=(*ENVIRONMENTS, "env", "forget"),
                nargs="?",
                help="dev or lab (default: the one that answers), env: print shell settings, or "
                "forget: replace one file by what its origin has now",
            ),
            arg("of", metavar="ENV|URL", nargs="?", help="env's dev or lab; forget's address"),
            arg("--json", action="store_true", help="the figures as JSON"),
        ),
        engine=False,
    ),
    Verb(
        "test",
        "run the tests; installs what they need",
        "cli.tests:test",
        requirements=TESTS,
        passes_on=True,
        arguments=(
            arg(
                "tiers",
                metavar="TIER",
                type=tier,
                nargs="*",
                help=f"{', '.join(TIERS)}, or {QUICK}, a minute's worth; default: all tiers",
            ),
            arg("--long", action="store_true", help="also whole sweeps, which take hours"),
        ),
    ),
)
