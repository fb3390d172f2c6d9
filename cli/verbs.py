"""The verbs of `./lab`: one row each. A new verb is a row here and a function in a module.

Standard library only, as it is read before anything is installed.
"""

from cli.words import TESTS, Verb, arg, one_of, positive
from layers import LAYERS

ENVIRONMENTS = ("dev", "lab")  # settings.ENVIRONMENTS, which needs pydantic; a test compares them
TIERS = ("lint", "unit", "engine", "service")
QUICK = "quick"  # the tests of lint and unit that take no root and little time
START, DAILY, REPAIR, CI = GROUPS = ("start here", "day by day", "repair", "CI and tests")

EXIT_CODES = {
    0: "done",
    1: "failed; the message says what and what to do",
    2: "wrong words, an unknown commit, or faults in the settings; nothing was touched",
    3: "Pulumi: authentication failed",
    6: "Pulumi: no such stack; `./lab init ENV` makes it",
    7: "changes where none were expected",
    130: "interrupted with Ctrl-C",
}


environment = one_of("environment", ENVIRONMENTS)
layer = one_of("layer", LAYERS)
ENV = arg("env", metavar="ENV", type=environment, help=" or ".join(ENVIRONMENTS))
MAYBE_ENV = arg("env", metavar="ENV", type=environment, nargs="?", help=ENV.options["help"])
LAYER = arg(
    "layer", metavar="LAYER", type=layer, nargs="?", help=f"{', '.join(LAYERS)}; default: all"
)
JSON = arg("--json", action="store_true", help="the result as JSON")
CI_ACTIONS = ("preview", "note", "notes", "pending", "deploy", "drift", "images")
YES = arg("--yes", action="store_true", help="do not ask")

VERBS = (
    Verb(
        "rehearse",
        "bring the whole lab up in simulation, prove it, take it down",
        "rehearsal.command:rehearse",
        group=START,
        arguments=(
            arg(
                "env",
                metavar="ENV",
                type=environment,
                nargs="?",
                default="lab",
                help="dev or lab; default: lab",
            ),
            arg("--layer", type=layer, help="stop after this layer"),
            arg(
                "--from",
                dest="since",
                metavar="REF",
                help="what this checkout changes in a lab that stands by that commit",
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
            JSON,
        ),
    ),
    Verb(
        "doctor",
        "what this machine has and lacks, and what to do about it",
        "cli.doctor:doctor",
        group=START,
        requirements="",
        arguments=(MAYBE_ENV, JSON),
        engine=False,
    ),
    Verb(
        "check",
        "validate the settings, every fault at once",
        "cli.reports:check",
        group=START,
        arguments=(ENV, JSON),
        engine=False,
    ),
    Verb(
        "init",
        "make state folder and stacks; ask for what only you know",
        "cli.init:init",
        goes_on=True,
        group=START,
        arguments=(ENV,),
    ),
    Verb(
        "up",
        "bring layers up, lowest first, until healthy; what is switched off goes from the top",
        "cli.stacks:up",
        goes_on=True,
        group=START,
        passes_on=True,
        arguments=(
            ENV,
            LAYER,
            YES,
            arg("--data", action="store_true", help="what is switched off goes with its data"),
        ),
    ),
    Verb(
        "logins",
        "where the services' administrators log in",
        "cli.logins:logins",
        group=START,
        arguments=(ENV, arg("--show", action="store_true", help="the passwords too"), JSON),
    ),
    Verb(
        "preview",
        "what `up` would do",
        "cli.stacks:preview",
        group=DAILY,
        passes_on=True,
        arguments=(ENV, LAYER),
    ),
    Verb(
        "down",
        "take layers down, highest first; data and the servers it stands on stay",
        "cli.stacks:down",
        goes_on=True,
        group=DAILY,
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
        group=DAILY,
        arguments=(ENV, LAYER, JSON),
    ),
    Verb(
        "budget",
        "memory, cores and disk: what is planned and what fits",
        "cli.reports:budget",
        group=DAILY,
        arguments=(ENV, JSON),
        engine=False,
    ),
    Verb(
        "hosts",
        "lines for /etc/hosts of a laptop",
        "cli.reports:hosts",
        group=DAILY,
        arguments=(ENV, JSON),
        engine=False,
    ),
    Verb(
        "pin",
        "digest or SHA-256 of what images.yaml names, from its source, into images.sum",
        "cli.pin:pin",
        group=DAILY,
        arguments=(
            arg("name", metavar="NAME", nargs="?", help="an entry; default: what has none yet"),
            arg("--check", action="store_true", help="whether the sources still have the same"),
        ),
        engine=False,
    ),
    Verb(
        "secrets",
        "make a generated secret anew, at its server and all its users",
        "cli.secrets:secrets",
        group=DAILY,
        arguments=(
            arg("action", metavar="rotate", type=one_of("action", ("rotate",)), help="what to do"),
            arg("name", metavar="NAME", help="its name; a wrong one lists them"),
            ENV,
            YES,
        ),
    ),
    Verb(
        "cache",
        "the package cache's figures; `env`: what makes a laptop use it; `forget URL`",
        "cli.cache:cache",
        group=DAILY,
        arguments=(
            arg(
                "what",
                metavar="WHAT",
                type=one_of("choice", (*ENVIRONMENTS, "env", "forget")),
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
        "env",
        'what plain `pulumi` needs: eval "$(./lab env dev)"',
        "cli.backend:print_env",
        group=DAILY,
        arguments=(ENV,),
    ),
    Verb(
        "repair",
        "after a killed `up`: remove its lock, settle what it left open",
        "cli.repair:repair",
        goes_on=True,
        group=REPAIR,
        arguments=(ENV, LAYER, YES),
    ),
    Verb(
        "state",
        "move: state into the lab's own store; rescue: restore the foundation's",
        "cli.state:state",
        goes_on=True,
        group=REPAIR,
        arguments=(
            arg(
                "action",
                metavar="move|rescue",
                type=one_of("action", ("move", "rescue")),
                help="what to do",
            ),
            ENV,
            YES,
        ),
    ),
    Verb(
        "vault",
        "keys: show Vault's unseal key, to keep a copy elsewhere",
        "cli.vault:vault",
        group=REPAIR,
        arguments=(
            arg("action", metavar="keys", type=one_of("action", ("keys",)), help="what to do"),
            ENV,
        ),
    ),
    Verb(
        "gitlab",
        "publish: this repository into the lab's GitLab, with what its pipelines need",
        "cli.ci.publish:run",
        goes_on=True,
        group=CI,
        programs=("git",),
        arguments=(
            arg(
                "action", metavar="publish", type=one_of("action", ("publish",)), help="what to do"
            ),
            ENV,
            YES,
        ),
    ),
    Verb(
        "ci",
        "what the lab's own pipelines run; docs/ci.md",
        "cli.ci.run:run",
        group=CI,
        programs=("git",),
        arguments=(
            arg(
                "action",
                metavar="ACTION",
                type=one_of("action", CI_ACTIONS),
                help=", ".join(CI_ACTIONS),
            ),
            ENV,
            LAYER,
        ),
    ),
    Verb(
        "test",
        "run the tests; installs what they need",
        "cli.tests:test",
        group=CI,
        requirements=TESTS,
        passes_on=True,
        arguments=(
            arg(
                "tiers",
                metavar="TIER",
                type=one_of("tier", (QUICK, *TIERS)),
                nargs="*",
                help=f"{', '.join(TIERS)}, or {QUICK}, a minute's worth; default: all tiers",
            ),
            arg("--long", action="store_true", help="also whole sweeps, which take hours"),
        ),
    ),
)
