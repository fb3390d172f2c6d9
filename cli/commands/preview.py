"""`./lab preview`: what `up` would do."""

import argparse

from cli.lib.command import DAILY, ENV, JSON, LAYER, Verb
from cli.lib.fault import say
from cli.lib.terminal import print_json

VERB = Verb(
    "preview",
    "what `up` would do",
    group=DAILY,
    order=10,
    passes_on=True,
    arguments=(ENV, LAYER, JSON),
)


def run(values: argparse.Namespace) -> int:
    """Preview layers, lowest first; none above one that is not up yet can be previewed.

    As JSON by names only, as the values may be secret.
    """
    from cli.lib import backend, reach, stacks
    from cli.lib.plan import reduce

    engine, settings = backend.prepare(values.env)
    known = engine.stacks()
    layers = backend.chosen(values.layer)
    stacks.require_stacks(values.env, layers, known)
    reach.require(engine, settings, layers)
    code, found = 0, {}
    for layer in layers:
        stack = f"{values.env}-{layer}"
        if values.json:
            seen = engine.preview(stack, *values.extra)
            found[layer] = reduce(layer, "", seen.data).changes()
            code = seen.code
            if seen.failed:
                say(seen.why)
        else:
            code = engine.run("preview", "-s", stack, *values.extra)
        if code:
            break
        if layer != layers[-1] and not known[stack]:
            say(f"{layer} is not up yet; the layers above it follow")
            break
    if values.json:
        print_json(found)
    return code
