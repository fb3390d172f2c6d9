"""The lab CA's certificate as a file, for providers that take a path and not a text."""

import hashlib
from pathlib import Path, PurePath

import pulumi


def trust_file(pem: pulumi.Input[str], folder: PurePath) -> pulumi.Output[str]:
    """The path of a file in `folder` that holds `pem`; it is written where it is not there yet.

    The name comes from the content and the path stays as it was given (relative to the project,
    where engine and providers run), so that it is the same on every machine.
    """
    return pulumi.Output.from_input(pem).apply(lambda text: keep(text, folder))


def keep(pem: str, folder: PurePath) -> str:
    """Write `pem` where trust_file says; the path.

    For commands that run providers without running the program, as `destroy` and `refresh` do.
    """
    path = Path(folder) / f"ca-{hashlib.sha256(pem.encode()).hexdigest()[:16]}.crt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != pem:
        partial = path.with_suffix(".partial")
        partial.write_text(pem)
        partial.replace(path)
    return str(path)
