"""A folder outside the checkout for what is slow to fetch or build, keyed by version."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from toolchain import install


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The cache's folder `name`, filled by `make` (which gets an empty folder) when it is new.

    Two processes may do it at once: the first to finish wins.
    """
    root = install.cache_folder()
    folder = root / name
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    try:
        make(scratch)
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder
