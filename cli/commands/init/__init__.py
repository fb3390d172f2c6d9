"""`./lab init`: state folder, stacks, and what only the operator knows."""

import argparse

from cli.lib.command import ENV, START, Verb, arg

VERB = Verb(
    "init",
    "make state folder and stacks; ask for what only you know",
    goes_on=True,
    group=START,
    order=40,
    arguments=(
        ENV,
        arg(
            "--indexes",
            action="store_true",
            help="add this machine's package indexes to the settings file without asking",
        ),
    ),
)


def run(values: argparse.Namespace) -> int:
    """Make what is missing, keep what is there; safe to run again."""
    from cli.commands.init.upstreams import init

    return init(values)
