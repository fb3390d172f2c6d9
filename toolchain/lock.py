"""One set-up at a time; who waits is told for whom, and how far that one is. Standard library only.

The environment of each checkout and Pulumi, which all share, have a lock of their own.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from toolchain import progress

LOOK_S = 0.5  # between two looks of one who waits
TRASH = "trash-"  # in the cache folder: what is being deleted


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Hold the lock of `file`; the kernel frees it when the process ends."""
    with file.open("a+") as lock:
        wait(lock.fileno(), file)

        def tell(text: str) -> None:
            with suppress(OSError):  # a full disk must not stop what runs
                file.write_text(f"process {os.getpid()}, {text}")

        tell("starting")
        with progress.told(tell):
            yield


def wait(lock: int, file: Path) -> None:
    """Get the lock; while another has it, say which process and what it is doing."""
    said = ""
    asked = -progress.QUIET_SECONDS * 1.0
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read_text() or "starting"
            if holder != said and time.monotonic() - asked >= progress.pause():
                said, asked = holder, time.monotonic()
                progress.line(f"lab: waiting for another ./lab ({holder})")
            time.sleep(LOOK_S)
        else:
            if said:
                progress.end_line()
            return


def discard(folder: Path) -> None:
    """Take a folder away at once, and delete it without anybody waiting for that.

    The Go sources of Pulumi are 2.6 GB in 60,000 files. What a killed deletion left goes, too.
    """
    with suppress(FileNotFoundError):
        folder.rename(folder.with_name(f"{TRASH}{folder.name}-{os.getpid()}"))
    left = sorted(folder.parent.glob(f"{TRASH}*"))
    if left:
        subprocess.Popen(
            ["rm", "-rf", "--", *left],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
