"""`./lab up`: layers come up, lowest first."""

import argparse

from cli.lib.command import ENV, LAYER, START, YES, Verb, arg

VERB = Verb(
    "up",
    "bring layers up, lowest first, until healthy; what is switched off goes from the top",
    goes_on=True,
    group=START,
    order=50,
    passes_on=True,
    arguments=(
        ENV,
        LAYER,
        YES,
        arg("--data", action="store_true", help="what is switched off goes with its data"),
        arg(
            "--from-packages",
            action="store_true",
            help="without registries of images and Pulumi's plugins: makes the images from "
            "packages, for which it writes common.target.images into the settings file",
        ),
    ),
)


def run(values: argparse.Namespace) -> int:
    """Bring layers up; what the settings have switched off goes first, from the top."""
    from cli.lib.stacks import make_stacks, up

    if values.from_packages:
        from cli.lib.backend import prepare
        from cli.lib.packaged import choose

        choose.tell(choose.choose(values.env, yes=values.yes))
        make_stacks(prepare(values.env)[0], values.env)
    code = up(values.env, values.layer, yes=values.yes, data=values.data, extra=values.extra)
    if not code:
        from cli.commands.status import after_up

        after_up(values.env)
    return code
