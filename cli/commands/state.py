"""`./lab state move` and `rescue`: where the state lives, and how it comes back."""

import argparse

from cli.lib import ask
from cli.lib.command import ENV, REPAIR, YES, Verb, action
from cli.lib.fault import Fault, say
from layers import LAYERS
from toolchain import files

VERB = Verb(
    "state",
    "move: state into the lab's own store; rescue: restore the foundation's",
    goes_on=True,
    group=REPAIR,
    order=20,
    arguments=(
        action("move", "rescue"),
        ENV,
        YES,
    ),
)


def run(values: argparse.Namespace) -> int:
    """`./lab state move|rescue ENV`."""
    if values.action == "move":
        return move(values.env)
    return restore(values.env, yes=values.yes)


def move(env: str) -> int:
    """Take all four stacks into the lab's own store, and only then say that they are there.

    Stopped at any point it leaves the old backend in charge; running it again does it over.
    """
    from cli.lib import backend, state

    engine, _ = backend.prepare(env)
    here = engine.variables["PULUMI_BACKEND_URL"]
    if here != backend.file_url(env):
        say(f"the state of {env} is in {here} already")
        return 0
    known = engine.stacks()
    if not known.get(f"{env}-{LAYERS[0]}"):
        raise Fault(f"the store is not up yet: run ./lab up {env} {LAYERS[0]} first")
    there = state.target(engine, env)
    stacks = [f"{env}-{layer}" for layer in LAYERS if f"{env}-{layer}" in known]
    present = there.stacks()
    for stack in stacks:
        say(f"{stack} ...")
        exported = engine.capture("stack", "export", "-s", stack)
        if stack not in present:
            there.capture("stack", "init", stack)
        elif present[stack] and not known[stack]:
            say(f"{stack} is empty here and has {present[stack]} resources there; kept")
            continue
        there.capture("stack", "import", "-s", stack, text=exported)
        if state.resources(there.capture("stack", "export", "-s", stack)) != state.resources(
            exported
        ):
            raise Fault(f"{stack} reads back different from the store; nothing was switched")
    url = there.variables["PULUMI_BACKEND_URL"]
    files.replace(backend.marker(env), f"{url}\n".encode(), 0o600)
    say(f"the state of {env} is in its own store now")
    say(f"the old files stay in {backend.folder(env)} until you delete them; they are not used")
    return 0


def restore(env: str, *, yes: bool) -> int:
    """Put the foundation's last rescued state into the backend of the checkout.

    For when the store, and with it the state of all layers, is gone or does not answer: the
    foundation then comes up again over its data, and the store with the other three states.
    """
    from cli.lib import backend, state

    settings = backend.settings_of(env)
    stack = f"{env}-{LAYERS[0]}"
    copy = state.copy_file(stack, settings.common.rescue.path)
    try:
        exported = copy.read_text()
        count = len(state.resources(exported))
    except FileNotFoundError:
        raise Fault(f"there is no rescued state {copy}; common.rescue.path says where") from None
    except (ValueError, KeyError):
        raise Fault(f"{copy} is not an export of a stack; try {state.previous(copy)}") from None
    moved = backend.marker(env)
    question = f"Restore {stack} ({count} resources) from {copy} into {backend.file_url(env)}?"
    if not ask.confirmed(question, yes=yes):
        raise Fault("not confirmed; nothing was done (--yes confirms without a terminal)")
    if moved.exists():
        moved.replace(moved.with_name("backend.before-rescue"))
        say(f"the state had moved to the store; that is noted in {moved.name}.before-rescue")
    engine, _ = backend.prepare(env)
    known = engine.stacks()
    if stack not in known:
        engine.capture("stack", "init", stack)
    elif known[stack]:
        kept = state.copy_file(f"{stack}.before-rescue", settings.common.rescue.path)
        files.replace(kept, engine.capture("stack", "export", "-s", stack).encode(), 0o600)
        say(f"what was there is in {kept}")
    engine.capture("stack", "import", "-s", stack, text=exported)
    say(
        f"restored; now run ./lab up {env} {LAYERS[0]}, then ./lab state move {env} if it had moved"
    )
    return 0
