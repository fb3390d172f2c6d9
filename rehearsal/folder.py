"""The temporary folder of a rehearsal, which outlives it only where that was asked for."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rehearsal.scratch import kill_leftovers

NAME = "datalab-rehearsal-"
LOCK = "running"  # locked as long as its process lives; absent where the folder is to stay


@contextmanager
def temporary(env: str) -> Iterator[Path]:
    """A folder that is removed in the end, unless `keep` was called on it.

    What a process left that was killed is removed first.
    """
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{NAME}{env}-"))
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            if (folder / LOCK).exists():
                shutil.rmtree(folder, ignore_errors=True)


def keep(folder: Path) -> None:
    """Let it stay."""
    (folder / LOCK).unlink()


def sweep() -> None:
    """Remove the folders whose rehearsal was killed, and end what it left running."""
    for lock in Path(tempfile.gettempdir()).glob(f"{NAME}*/{LOCK}"):
        with suppress(OSError), lock.open("w") as held:  # it is at work, or somebody else's
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            kill_leftovers(lock.parent.resolve())
            shutil.rmtree(lock.parent, ignore_errors=True)
