"""`./lab rehearse`: the whole lab in simulation."""

import argparse

from cli.lib.command import JSON, START, Verb, arg, environment, layer, positive

VERB = Verb(
    "rehearse",
    "bring the whole lab up in simulation, prove it, take it down",
    group=START,
    order=10,
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
        arg(
            "--set",
            dest="edits",
            metavar="KEY=VALUE",
            action="append",
            default=[],
            help="what this setting would change in a lab that stands; may be given again",
        ),
        arg(
            "--keep",
            action="store_true",
            help="leave the simulated lab, and say how to look at it and preview in it",
        ),
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
)


def run(values: argparse.Namespace) -> int:
    """Bring the lab up in simulation, prove it, take it down."""
    from cli.commands.rehearse.perform import rehearse

    return rehearse(values)
