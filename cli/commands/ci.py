"""`./lab ci`: what the lab's pipelines run."""

import argparse

from cli.lib.command import CI, ENV, LAYER, Verb, arg, one_of

CI_ACTIONS = ("preview", "note", "notes", "pending", "deploy", "drift", "images")
VERB = Verb(
    "ci",
    "what the lab's own pipelines run; docs/ci.md",
    group=CI,
    order=20,
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
)


def run(values: argparse.Namespace) -> int:
    """Run one action; returns its exit code."""
    from cli.ci import run

    return run.run(values)
