"""`./lab gitlab publish`: this repository into the lab's GitLab."""

import argparse

from cli.lib.command import CI, ENV, YES, Verb, action

VERB = Verb(
    "gitlab",
    "publish: this repository into the lab's GitLab, with what its pipelines need",
    goes_on=True,
    group=CI,
    order=10,
    programs=("git",),
    arguments=(
        action("publish"),
        ENV,
        YES,
    ),
)


def run(values: argparse.Namespace) -> int:
    """Push the checkout, and give its pipelines what they need."""
    from cli.ci import publish

    return publish.run(values)
