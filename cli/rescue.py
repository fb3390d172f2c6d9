"""A copy of the foundation's state apart from its backend, which the foundation itself holds."""

from pathlib import Path, PurePath

from cli.engine import Engine
from toolchain import install


def file(stack: str, folder: PurePath) -> Path:
    """Where the copy of `stack` lives; `folder` may be relative to the checkout."""
    return install.ROOT / folder / f"{stack}.json"


def keep(engine: Engine, stack: str, folder: PurePath) -> Path:
    """Export the state, secrets still encrypted; the copy before the last one is kept, too."""
    copy = file(stack, folder)
    content = engine.capture("stack", "export", "-s", stack)
    if copy.exists():
        copy.replace(copy.with_suffix(".previous.json"))
    install.replace(copy, content.encode(), 0o600)
    return copy
