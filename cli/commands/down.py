"""`./lab down`: layers go, highest first."""

import argparse

from cli.lib.command import DAILY, ENV, LAYER, YES, Verb, arg

VERB = Verb(
    "down",
    "take layers down, highest first; data and the servers that hold it stay",
    goes_on=True,
    group=DAILY,
    order=20,
    passes_on=True,
    arguments=(
        ENV,
        LAYER,
        YES,
        arg("--data", action="store_true", help="data too, after you typed ENV's name"),
    ),
)


def run(values: argparse.Namespace) -> int:
    """Take layers down; protected data stays unless `--data` was confirmed."""
    from cli.lib.stacks import down

    return down(values.env, values.layer, yes=values.yes, data=values.data, extra=values.extra)
