"""`./lab ci`: what the lab's pipelines run."""

import argparse

from cli.lib.command import CI, ENV, LAYER, Verb, action

CI_ACTIONS = ("preview", "note", "notes", "pending", "deploy", "drift", "images")
VERB = Verb(
    "ci",
    "what the lab's own pipelines run; docs/ci.md",
    group=CI,
    order=20,
    programs=("git",),
    arguments=(
        action(*CI_ACTIONS),
        ENV,
        LAYER,
    ),
)


def run(values: argparse.Namespace) -> int:
    """Run one action; returns its exit code."""
    from cli.ci import run

    return run.run(values)
