"""A folder outside the checkout for what is slow to fetch or build, keyed by version."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from toolchain import install, lock

# Of a kind, which is the name without the key at its end. Some are gigabytes.
NEWEST = 2
IN_USE_S = 6 * 3600.0  # what somebody may still work with


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The cache's folder `name`, filled by `make` (which gets an empty folder) when it is new.

    Of two processes the second waits: some of it takes minutes of every core. With a new one the
    oldest of its kind go.
    """
    root = install.cache_folder()
    folder = root / name
    if folder.is_dir():
        _used(folder)
        return folder
    locks = root / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with lock.held(locks / name):
        if folder.is_dir():
            return folder
        scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
        try:
            make(scratch)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    _used(folder)
    for old in of_kind(name.rpartition("-")[0])[NEWEST:]:
        if time.time() - _last_use(old) > IN_USE_S:
            lock.discard(old)
    return folder


def of_kind(kind: str) -> list[Path]:
    """The cache's folders KIND-KEY, the one used last first."""
    keyed = re.compile(re.escape(kind) + "-[0-9a-f]{12}")
    found = [path for path in install.cache_folder().iterdir() if keyed.fullmatch(path.name)]
    return sorted(found, key=_last_use, reverse=True)


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another process was here first
        return 0.0


def _used(folder: Path) -> None:
    with suppress(OSError):  # a cache that only reads
        os.utime(folder)
