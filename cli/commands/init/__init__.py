"""`./lab init`: state folder, stacks, and what only the operator knows."""

import argparse

from cli.lib.command import ENV, START, Verb

VERB = Verb(
    "init",
    "make state folder and stacks; ask for what only you know",
    goes_on=True,
    group=START,
    order=40,
    arguments=(ENV,),
)


def run(values: argparse.Namespace) -> int:
    """Make what is missing, keep what is there; safe to run again."""
    from cli.commands.init.upstreams import init

    return init(values)
