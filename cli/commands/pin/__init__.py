"""`./lab pin`: writes images.sum, from where the things come from."""

import argparse

from cli.lib.command import DAILY, JSON, Verb, arg

VERB = Verb(
    "pin",
    "digest or SHA-256 of what images.yaml names, from its source, into images.sum",
    group=DAILY,
    order=60,
    arguments=(
        arg("name", metavar="NAME", nargs="?", help="an entry; default: what has none yet"),
        arg("--check", action="store_true", help="whether the sources still have the same"),
        JSON,
    ),
    engine=False,
)


def run(values: argparse.Namespace) -> int:
    """Fetch what is missing, or what was named; with --check compare, and write nothing."""
    from cli.commands.pin.sources import pin

    return pin(values)
