"""`./lab cache`: what the package cache does, and how a laptop uses it."""

import argparse

from cli.lib.command import DAILY, ENVIRONMENTS, Verb, arg, one_of

VERB = Verb(
    "cache",
    "the package cache's figures; `env`: what makes a laptop use it; `forget URL`",
    group=DAILY,
    order=80,
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
)


def run(values: argparse.Namespace) -> int:
    """`./lab cache [ENV]` shows figures, `env [ENV]` a laptop's settings; `forget URL`."""
    from cli.commands.cache.figures import cache

    return cache(values)
