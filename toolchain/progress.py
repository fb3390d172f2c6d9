"""Runs a long command with its progress on one line and its whole output in a log."""

import errno
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# venv says nothing of the reason, and pip takes back what it wrote; less is of no use to either.
FULL_BYTES = 64 << 20
QUIET_SECONDS = 15  # between two lines of progress where the output is no terminal


_listeners: list[Callable[[str], None]] = []


class CommandError(Exception):
    """A command of the set-up ended with an error; the text holds the end of its output."""


def run(
    label: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    counted: str = "^$",
    total: int = 0,
    into: Path | None = None,
    **popen: Any,
) -> list[str]:
    """Run `command`, show how many of its lines match `counted` (of `total`), return its lines.

    Standard output and error go to `log`, too; `into` is where the command writes; `popen` (env,
    cwd) goes to Popen. Raises
    CommandError with the last lines, OSError where the disk is full.
    """
    started = time.monotonic()
    shown = 0.0
    lines: list[str] = []
    count = 0
    pattern = re.compile(counted)
    arrived: queue.Queue[str | None] = queue.Queue()
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            **popen,
        ) as process,
    ):
        stream = process.stdout
        assert stream is not None  # noqa: S101 - PIPE above

        def read() -> None:
            for line in stream:
                arrived.put(line)
            arrived.put(None)

        threading.Thread(target=read, daemon=True).start()
        while True:
            try:
                line = arrived.get(timeout=1)
            except queue.Empty:
                line = ""
            if line is None:
                break
            if line:
                kept.write(line)
                lines.append(line.rstrip("\n"))
                count += bool(pattern.search(line))
            now = time.monotonic()
            if now - shown >= pause():
                shown = now
                show(label, count, total, now - started)
    if process.returncode:
        end_line()
        if any("no space left on device" in line.lower() for line in lines[-40:]) or any(
            shutil.disk_usage(folder).free < FULL_BYTES for folder in (log.parent, into or log)
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        tail = "\n".join(f"  {line}" for line in lines[-15:])
        raise CommandError(f"{label}: failed (exit code {process.returncode}):\n{tail}\n  {log}")
    show(label, count, total, time.monotonic() - started, done=True)
    return lines


def pause() -> float:
    """Seconds between two lines of progress."""
    return 0.2 if sys.stderr.isatty() else QUIET_SECONDS


@contextmanager
def told(listener: Callable[[str], None]) -> Iterator[None]:
    """Give each line of progress to `listener`, too."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def show(label: str, count: int, total: int, seconds: float, *, done: bool = False) -> None:
    """One line of progress on standard error, overwritten in place on a terminal."""
    amount = f" {count}" + (f" of {total}" if total >= count else "") if count and not done else ""
    text = f"{label}{amount} ({seconds:.0f} s){', done' if done else ''}"
    for listener in _listeners:
        listener(text)
    line(f"lab: {text}", done=done)


def line(text: str, *, done: bool = False) -> None:
    """Print a line that the next one overwrites on a terminal, unless it is `done`."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if done else ""))
    else:
        sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def end_line() -> None:
    """Leave the line that `line` overwrites."""
    if sys.stderr.isatty():
        sys.stderr.write("\n")
