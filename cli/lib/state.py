"""`./lab state move` and `rescue`: where the state lives, and how it comes back."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from cli.lib import backend
from cli.lib.pulumi import Engine, visible
from layers import LAYERS
from settings.foundation.object_store import ROOT_USER
from toolchain import files, install


def resources(exported: str) -> list[tuple[str, str]]:
    """What an export holds, apart from what each import writes again (time, secrets' nonces)."""
    deployment = json.loads(exported)["deployment"]
    return [(entry["urn"], entry.get("id", "")) for entry in deployment.get("resources") or []]


def target(engine: Engine, env: str) -> Engine:
    """Pulumi on the lab's store, with the credentials that the foundation made for it.

    They are kept next to the state, readable by the operator alone: what opens the state's store
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
    keep_credentials(env, ROOT_USER, made["object-store-root"]["result"])
    try:
        yield
    finally:
        target(engine, env)


def keep_copy(engine: Engine, stack: str, folder: PurePath) -> None:
    """Export a state apart from its backend, which the stack itself may hold; secrets encrypted.

    The copy before the last one is kept, too.
    """
    copy = copy_file(stack, folder)
    content = engine.capture("stack", "export", "-s", stack)
    if copy.is_relative_to(install.ROOT) and copy.parent.exists():
        copy.parent.chmod(0o700)  # an earlier release made it open to all
    if copy.exists():
        copy.replace(previous(copy))
    files.replace(copy, content.encode(), 0o600)


def copy_file(stack: str, folder: PurePath) -> Path:
    """Where the copy of `stack` lives; `folder` may be relative to the checkout."""
    return install.ROOT / folder / f"{stack}.json"


def previous(copy: Path) -> Path:
    """The copy before the last one."""
    return copy.with_suffix(".previous.json")
