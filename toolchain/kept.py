"""A folder outside the checkout for what is slow to fetch or build, keyed by version."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from toolchain import install, lock


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The cache's folder `name`, filled by `make` (which gets an empty folder) when it is new.

    Of two processes the second waits: some of it takes minutes of every core.
    """
    root = install.cache_folder()
    folder = root / name
    if folder.is_dir():
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
    return folder
