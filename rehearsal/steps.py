"""One command of the real engine, and what its events say of it."""

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.scratch import Scratch

# What every `up` says of every simulator, as it is told to use what it finds on PATH.
NOISE = "from $PATH at"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended."""

    command: tuple[str, ...]
    code: int
    seconds: float
    errors: tuple[str, ...]

    @property
    def line(self) -> str:
        """The command as a person would type it."""
        return f"pulumi {shlex.join(self.command)}"


@dataclass
class Runner:
    """Runs Pulumi in a scratch project, each command in a process group of its own."""

    scratch: Scratch
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    killed: bool = False
    _number: int = 0

    def run(self, *arguments: str) -> Outcome:
        """Run a command that prints its events; its output stays in the scratch folder."""
        self.killed = False
        self._number += 1
        logs = self.scratch.folder / "log"
        logs.mkdir(exist_ok=True)
        name = f"{self._number:02}-{arguments[0]}"
        events, said = logs / f"{name}.jsonl", logs / f"{name}.txt"
        begin = time.monotonic()
        with events.open("wb") as output, said.open("wb") as messages:
            self.process = subprocess.Popen(
                ["pulumi", *arguments, "--json", "--non-interactive"],
                cwd=self.scratch.folder,
                env=dict(self.scratch.engine.variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=messages,
                process_group=0,
            )
            try:
                code = self.process.wait()
            finally:
                self.kill()
                self.process = None
        return Outcome(
            command=arguments,
            code=code,
            seconds=time.monotonic() - begin,
            errors=tuple(errors(events)) or _last_lines(said, code),
        )

    def kill(self) -> None:
        """End the engine's whole process group at once, if it is there."""
        process = self.process
        if process is not None and process.poll() is None:
            self.killed = True
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _last_lines(file: Path, code: int) -> tuple[str, ...]:
    lines = file.read_text(errors="replace").splitlines() if code > 0 else []
    return tuple(line for line in lines if NOISE not in line)[-20:]


def errors(events: Path) -> Iterator[str]:
    """The errors among an engine's events, one JSON object a line.

    Source: pulumi sdk/go/common/apitype/events.go.
    """
    for line in events.read_bytes().splitlines():
        try:
            event = json.loads(line)["diagnosticEvent"]
        except (ValueError, TypeError, KeyError):
            continue  # another event, or the last line of an engine that was killed
        message = event["message"].strip()
        if event["severity"] not in ("error", "info#err") or message in ("", "update failed"):
            continue
        *_, types, name = f"::::{event.get('urn', '')}".split("::")
        yield f"{name} ({types.rpartition('$')[2]}): {message}" if name else message
