"""`./lab state move` and `rescue`: where the state lives, and how it comes back."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from cli import ask, backend
from cli.engine import Engine, visible
from cli.fault import Fault, say
from layers import LAYERS
from settings.common import STORE_ROOT_USER
from toolchain import files, install


def state(values: argparse.Namespace) -> int:
    """`./lab state move|rescue ENV`."""
    if values.action == "move":
        return move(values.env)
    return restore(values.env, yes=values.yes)


def move(env: str) -> int:
    """Take all four stacks into the lab's own store, and only then say that they are there.

    Stopped at any point it leaves the old backend in charge; running it again does it over.
    """
    engine, _ = backend.prepare(env)
    here = engine.variables["PULUMI_BACKEND_URL"]
    if here != backend.file_url(env):
        say(f"the state of {env} is in {here} already")
        return 0
    known = engine.stacks()
    if not known.get(f"{env}-{LAYERS[0]}"):
        raise Fault(f"the store is not up yet: run ./lab up {env} {LAYERS[0]} first")
    there = target(engine, env)
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
        if resources(there.capture("stack", "export", "-s", stack)) != resources(exported):
            raise Fault(f"{stack} reads back different from the store; nothing was switched")
    url = there.variables["PULUMI_BACKEND_URL"]
    files.replace(backend.marker(env), f"{url}\n".encode(), 0o600)
    say(f"the state of {env} is in its own store now")
    say(f"the old files stay in {backend.folder(env)} until you delete them; they are not used")
    return 0


def resources(exported: str) -> list[tuple[str, str]]:
    """What an export holds, apart from what each import writes anew (time, secrets' nonces)."""
    deployment = json.loads(exported)["deployment"]
    return [(entry["urn"], entry.get("id", "")) for entry in deployment.get("resources") or []]


def target(engine: Engine, env: str) -> Engine:
    """Pulumi on the lab's store, with the credentials that the foundation made for it.

    They are kept beside the state, readable by the operator alone: what opens the state's store
    cannot come out of that state.
    """
    outputs = engine.outputs(f"{env}-{LAYERS[0]}", "--show-secrets")
    store, own = outputs["object_store"], outputs["credentials"]["state"]
    keep_credentials(env, own["access_key"], own["secret_key"])
    authority = backend.folder(env) / "ca.pem"
    files.replace(authority, outputs["ca_certificate"].encode())
    url = backend.s3_url(store["endpoint"], store["region"])
    variables = {**engine.variables, **backend.store_access(env), "PULUMI_BACKEND_URL": url}
    return Engine(folder=engine.folder, variables=variables)


def keep_credentials(env: str, user: str, key: str) -> None:
    """Write how `./lab` logs in to the store that holds the state."""
    profile = f"[default]\naws_access_key_id = {user}\naws_secret_access_key = {key}\n"
    files.replace(backend.folder(env) / "credentials", profile.encode(), 0o600)


@contextmanager
def as_root(env: str, engine: Engine) -> Iterator[None]:
    """Log in to the state's store as its root, and afterwards as its user with the key of then.

    For when that user's own key changes: the engine could not write down what it did. Killed in
    between, `./lab` still has access, and rotating the key again ends it.
    """
    made = {
        entry["urn"].rpartition("::")[2]: dict(visible(entry.get("outputs", {})))
        for entry in engine.resources(f"{env}-{LAYERS[0]}", "--show-secrets")
    }
    keep_credentials(env, STORE_ROOT_USER, made["object-store-root"]["result"])
    try:
        yield
    finally:
        target(engine, env)


def restore(env: str, *, yes: bool) -> int:
    """Put the foundation's last rescued state into the backend of the checkout.

    For when the store, and with it the state of all layers, is gone or does not answer: the
    foundation then comes up again over its data, and the store with the other three states.
    """
    settings = backend.settings_of(env)
    stack = f"{env}-{LAYERS[0]}"
    copy = copy_file(stack, settings.common.rescue.path)
    try:
        exported = copy.read_text()
        count = len(resources(exported))
    except FileNotFoundError:
        raise Fault(f"there is no rescued state {copy}; common.rescue.path says where") from None
    except (ValueError, KeyError):
        raise Fault(f"{copy} is not an export of a stack; try {previous(copy)}") from None
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
        kept = copy_file(f"{stack}.before-rescue", settings.common.rescue.path)
        files.replace(kept, engine.capture("stack", "export", "-s", stack).encode(), 0o600)
        say(f"what was there is in {kept}")
    engine.capture("stack", "import", "-s", stack, text=exported)
    say(
        f"restored; now run ./lab up {env} {LAYERS[0]}, then ./lab state move {env} if it had moved"
    )
    return 0


def keep_copy(engine: Engine, stack: str, folder: PurePath) -> None:
    """Export a state apart from its backend, which the stack itself may hold; secrets encrypted.

    The copy before the last one is kept, too.
    """
    copy = copy_file(stack, folder)
    content = engine.capture("stack", "export", "-s", stack)
    if copy.exists():
        copy.replace(previous(copy))
    files.replace(copy, content.encode(), 0o600)


def copy_file(stack: str, folder: PurePath) -> Path:
    """Where the copy of `stack` lives; `folder` may be relative to the checkout."""
    return install.ROOT / folder / f"{stack}.json"


def previous(copy: Path) -> Path:
    """The copy before the last one."""
    return copy.with_suffix(".previous.json")
