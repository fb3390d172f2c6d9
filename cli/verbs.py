"""The verbs of `./lab`: one row each. A new verb is a row here and a function in a module.

Standard library only, as it is read before anything is installed.
"""

import argparse
from dataclasses import dataclass
from typing import Any

from layers import LAYERS

ENVIRONMENTS = ("dev", "lab")  # settings.ENVIRONMENTS, which needs pydantic; a test compares them
TIERS = ("lint", "unit", "engine", "service")
RUN = "requirements.txt"
TESTS = "requirements-dev.txt"

EXIT_CODES = {
    0: "done",
    1: "failed; the message says what and what to do",
    2: "wrong words, or faults in the settings; nothing was touched",
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


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One verb: where its function is, and what must be set up before it runs."""

    name: str
    help: str
    run: str  # "module:function"; it takes argparse.Namespace and returns the exit code
    arguments: tuple[Argument, ...] = ()
    requirements: str = RUN  # the file to install from; empty: the machine's Python is enough
    engine: bool = False  # whether Pulumi must be there
    passes_on: bool = False  # whether words after `--` go to the plain command


def arg(*name: str, **options: Any) -> Argument:
    """A row's argument; `name` is a word (`env`) or one option (`--json`)."""
    return Argument(name[0], options)


def tier(word: str) -> str:
    """A tier's name; argparse's `choices` refuses the empty list that means all."""
    if word not in TIERS:
        raise argparse.ArgumentTypeError(
            f"there is no tier {word!r} (choose from {', '.join(TIERS)})"
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
        name="rehearse",
        help="bring the whole lab up in simulation, prove it, take it down",
        run="rehearsal.command:rehearse",
        engine=True,
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
        name="init",
        help="make state folder and stacks; ask for what only you know",
        run="cli.init:init",
        engine=True,
        arguments=(ENV,),
    ),
    Verb(
        name="preview",
        help="what `up` would do",
        run="cli.stacks:preview",
        engine=True,
        passes_on=True,
        arguments=(ENV, LAYER),
    ),
    Verb(
        name="up",
        help="bring layers up, lowest first",
        run="cli.stacks:up",
        engine=True,
        passes_on=True,
        arguments=(ENV, LAYER, YES),
    ),
    Verb(
        name="down",
        help="take layers down, highest first; data and the servers it stands on stay",
        run="cli.stacks:down",
        engine=True,
        passes_on=True,
        arguments=(
            ENV,
            LAYER,
            YES,
            arg("--data", action="store_true", help="data too, after you typed ENV's name"),
        ),
    ),
    Verb(
        name="drift",
        help="whether everything is still as the state says, machines' insides included",
        run="cli.drift:drift",
        engine=True,
        arguments=(ENV, LAYER),
    ),
    Verb(
        name="repair",
        help="after a killed `up`: remove its lock, settle what it left open",
        run="cli.repair:repair",
        engine=True,
        arguments=(ENV, LAYER, YES),
    ),
    Verb(
        name="env",
        help='what plain `pulumi` needs: eval "$(./lab env dev)"',
        run="cli.backend:print_env",
        engine=True,
        arguments=(ENV,),
    ),
    Verb(
        name="check",
        help="validate the settings, every fault at once",
        run="cli.reports:check",
        arguments=(ENV,),
    ),
    Verb(
        name="budget",
        help="memory, cores and disk: what is planned and what fits",
        run="cli.reports:budget",
        arguments=(ENV,),
    ),
    Verb(
        name="hosts",
        help="lines for /etc/hosts of a laptop",
        run="cli.reports:hosts",
        arguments=(ENV,),
    ),
    Verb(
        name="doctor",
        help="what this machine has and lacks, and what to do about it",
        run="cli.doctor:doctor",
        requirements="",
        arguments=(MAYBE_ENV,),
    ),
    Verb(
        name="pin",
        help="fill empty digests and checksums of images.yaml from their sources",
        run="cli.pin:pin",
    ),
    Verb(
        name="vault",
        help="keys: show Vault's unseal key, to keep a copy elsewhere",
        run="cli.vault:vault",
        engine=True,
        arguments=(arg("action", metavar="keys", choices=("keys",), help="what to do"), ENV),
    ),
    Verb(
        name="state",
        help="move: state into the lab's own store; rescue: restore the foundation's",
        run="cli.state:state",
        engine=True,
        arguments=(
            arg("action", metavar="move|rescue", choices=("move", "rescue"), help="what to do"),
            ENV,
            YES,
        ),
    ),
    Verb(
        name="logins",
        help="where the services' administrators log in",
        run="cli.logins:logins",
        engine=True,
        arguments=(ENV, arg("--show", action="store_true", help="the passwords too")),
    ),
    Verb(
        name="secrets",
        help="make a generated secret anew, at its server and all its users",
        run="cli.secrets:secrets",
        engine=True,
        arguments=(
            arg("action", metavar="rotate", choices=("rotate",), help="what to do"),
            arg("name", metavar="NAME", help="its name; a wrong one lists them"),
            ENV,
            YES,
        ),
    ),
    Verb(
        name="gitlab",
        help="publish: this repository into the lab's GitLab, with what its pipelines need",
        run="cli.ci.publish:run",
        engine=True,
        arguments=(
            arg("action", metavar="publish", choices=("publish",), help="what to do"),
            ENV,
            YES,
        ),
    ),
    Verb(
        name="ci",
        help="what the lab's own pipelines run; docs/ci.md",
        run="cli.ci.run:run",
        engine=True,
        arguments=(
            arg("action", metavar="ACTION", choices=CI_ACTIONS, help=", ".join(CI_ACTIONS)),
            ENV,
            LAYER,
        ),
    ),
    Verb(
        name="cache",
        help="the package cache's figures; `cache env`: what makes a laptop use it",
        run="cli.cache:cache",
        arguments=(
            arg(
                "what",
                metavar="WHAT",
                choices=(*ENVIRONMENTS, "env"),
                nargs="?",
                help="dev or lab (default: the one that answers), or env: print shell settings",
            ),
            MAYBE_ENV,
            arg("--json", action="store_true", help="the figures as JSON"),
        ),
    ),
    Verb(
        name="test",
        help="run the tests; installs what they need",
        run="cli.tests:test",
        requirements=TESTS,
        engine=True,
        passes_on=True,
        arguments=(
            arg(
                "tiers",
                metavar="TIER",
                type=tier,
                nargs="*",
                help=f"{', '.join(TIERS)}; default: all",
            ),
            arg("--long", action="store_true", help="also whole sweeps, which take hours"),
        ),
    ),
)
