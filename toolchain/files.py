"""Files that are there whole or not at all; what a user can do where one cannot be written."""

import errno
import os
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def replace(target: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that it is there whole or not at all, and never open to more than `mode`."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o777 if mode & 0o077 else 0o700)
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)  # of a killed run; its mode would stay
    try:
        with open(new, "xb", opener=_own) as file:
            file.write(content)
        new.chmod(mode)
        new.replace(target)
    except OSError:
        new.unlink(missing_ok=True)  # a full disk is not filled further
        raise


def _own(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def explain(error: OSError) -> str | None:
    """What the user can do about an error of a file; None where the program is at fault."""
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    if error.errno in FULL:
        return (
            f"{path or 'the disk'}: {error.strerror}: nothing half-made was kept; free some space "
            "(./lab doctor says how much is needed), then run the same command again"
        )
    if error.errno not in REFUSED or path is None:
        return None
    here = next(each for each in (path, *path.parents) if each.exists())
    if error.errno != errno.EROFS and here.stat().st_uid != os.geteuid():
        remedy = f"{here} belongs to {owner(here)}"
    else:
        remedy = f"make {here} writable for you"
    if path.is_relative_to(ROOT):
        remedy += f"; a checkout of your own: git clone {shlex.quote(str(ROOT))} FOLDER"
    return f"{path}: {error.strerror}: {remedy}"


def owner(path: Path) -> str:
    """The name of a file's owner, or its number where it has no name here."""
    try:
        return path.owner()
    except KeyError:
        return str(path.stat().st_uid)
