"""`./lab preview`: what `up` would do."""

import argparse

from cli.lib.command import DAILY, ENV, LAYER, Verb
from cli.lib.fault import say

VERB = Verb(
    "preview",
    "what `up` would do",
    group=DAILY,
    order=10,
    passes_on=True,
    arguments=(ENV, LAYER),
)


def run(values: argparse.Namespace) -> int:
    """Preview layers, lowest first; none above one that is not up yet can be previewed."""
    from cli.lib import backend, reach, stacks

    engine, settings = backend.prepare(values.env)
    known = engine.stacks()
    layers = backend.chosen(values.layer)
    stacks.require_stacks(values.env, layers, known)
    reach.require(engine, settings, layers)
    for layer in layers:
        code = engine.run("preview", "-s", f"{values.env}-{layer}", *values.extra)
        if code:
            return code
        if layer != layers[-1] and not known[f"{values.env}-{layer}"]:
            say(f"{layer} is not up yet; the layers above it follow")
            return 0
    return 0
