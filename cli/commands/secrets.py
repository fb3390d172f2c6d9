"""`./lab secrets rotate`: a new value for a generated secret, at its server and all its users."""

import argparse

from cli.lib import ask
from cli.lib.command import DAILY, ENV, YES, Verb, action, arg, unknown
from cli.lib.fault import Fault, say
from layers import LAYERS

VERB = Verb(
    "secrets",
    "replace a generated secret, at its server and all its users",
    group=DAILY,
    order=70,
    arguments=(
        action("rotate"),
        arg("name", metavar="NAME", help="its name; a wrong one lists them"),
        ENV,
        YES,
    ),
)

STATE_KEY = "object-store-state"


def run(values: argparse.Namespace) -> int:
    """Raise the secret's generation in the settings, then bring every layer up.

    Stopped in between, `./lab up ENV` goes on: the settings say what is wanted.
    """
    from cli.lib import backend, stackfile, stacks, state
    from settings import PROJECT, generated
    from settings.common import generation
    from settings.declarations import FIXED, why_fixed
    from settings.sections import sections

    name: str = values.name
    if name in FIXED:
        raise Fault(f"{name} cannot be rotated: {why_fixed(name)}", 2)
    renewable = generated.renewable(sections(backend.settings_of(values.env)))
    if name not in renewable:
        raise Fault(unknown("generated secret", name, renewable), 2)
    engine, settings = backend.prepare(values.env)
    known = engine.stacks()
    stacks.require_stacks(values.env, LAYERS[:1], known)
    # Pulumi asks as well, but only once the settings are raised: each retry would raise them again.
    if not ask.confirmed(f"Replace {name} of {values.env}?", yes=values.yes):
        raise Fault("not confirmed; nothing was done (--yes confirms without a terminal)")
    raised = generation(settings.common.generations, name) + 1
    path = (f"{PROJECT}:common", "generations", name)
    file = backend.stack_file(values.env)
    new = stackfile.with_value(stackfile.read(file), ("config", *path), raised)
    stackfile.write(file, new)
    say(f"{'.'.join(path)}: {raised} in {file.name}")
    if name == STATE_KEY and backend.url(values.env) != backend.file_url(values.env):
        with state.as_root(values.env, engine):
            if code := stacks.up(values.env, LAYERS[0], yes=values.yes):
                return code
    return stacks.up(values.env, yes=values.yes)
