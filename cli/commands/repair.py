"""`./lab repair`: a stack is usable again after its `up` was killed."""

import argparse
import os

from cli.lib import ask
from cli.lib.command import ENV, LAYER, REPAIR, YES, Verb
from cli.lib.fault import Fault, say

VERB = Verb(
    "repair",
    "after a killed `up`: remove its lock, settle what it left open",
    goes_on=True,
    group=REPAIR,
    order=10,
    arguments=(ENV, LAYER, YES),
)


def run(values: argparse.Namespace) -> int:
    """Settle what was left of each stack; exit 1 where that was declined."""
    from cli.lib import backend, repair

    engine, settings = backend.prepare(values.env)
    known = engine.stacks()
    stacks = [f"{values.env}-{layer}" for layer in backend.chosen(values.layer)]
    if not known.keys() & set(stacks):
        raise Fault(f"{values.env} has no stacks yet: run ./lab init {values.env} first")
    backend.trust(engine, values.env, settings)
    broken = False
    for stack in stacks:
        if stack not in known:
            continue
        held = repair.locks(engine, stack)
        left = repair.leftovers(engine, stack, held)
        for line in left:
            say(line)
        if not left and not held:
            say(f"{stack} is in order")
            continue
        if left and os.isatty(0) and not ask.confirmed(f"Repair {stack}?", yes=values.yes):
            broken = True
            continue
        repair.fix(engine, stack)
    return 1 if broken else 0
