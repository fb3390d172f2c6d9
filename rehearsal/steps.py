"""One command of the real engine, and what its events say of it."""

import json
import os
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.scratch import Scratch

# What every `up` says of every simulator, as it is told to use what it finds on PATH.
NOISE = "from $PATH at"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended. changes counts operations on what a provider made."""

    command: tuple[str, ...]
    code: int
    seconds: float
    changes: Mapping[str, int]
    changed: tuple[str, ...]
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
        with events.open("wb") as output, said.open("wb") as errors:
            self.process = subprocess.Popen(
                ["pulumi", *arguments, "--json", "--non-interactive"],
                cwd=self.scratch.folder,
                env=dict(self.scratch.engine.variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                process_group=0,
            )
            try:
                code = self.process.wait()
            finally:
                self.kill()
                self.process = None
        read = _Events(events)
        return Outcome(
            command=arguments,
            code=code,
            seconds=time.monotonic() - begin,
            changes=read.changes,
            changed=tuple(read.changed),
            errors=tuple(read.errors or _last_lines(said, code)),
        )

    def kill(self) -> None:
        """End the engine's whole process group at once, if it is there."""
        process = self.process
        if process is not None and process.poll() is None:
            self.killed = True
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _last_lines(file: Path, code: int) -> list[str]:
    lines = file.read_text(errors="replace").splitlines() if code > 0 else []
    return [line for line in lines if NOISE not in line][-20:]


class _Events:
    """The engine's events, one JSON object a line (pulumi sdk/go/common/apitype/events.go)."""

    def __init__(self, file: Path):
        self.changes: Counter[str] = Counter()
        self.changed: list[str] = []
        self.errors: list[str] = []
        for event in self._read(file):
            self._step((event.get("resourcePreEvent") or {}).get("metadata"))
            self._diagnostic(event.get("diagnosticEvent"))

    @staticmethod
    def _read(file: Path) -> Iterator[dict[str, Any]]:
        for line in file.read_bytes().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the last line of an engine that was killed
            if isinstance(event, dict):
                yield event

    def _step(self, step: Mapping[str, Any] | None) -> None:
        if step is None or step["type"].startswith(("pulumi:pulumi:", "pulumi:providers:")):
            return
        operation = step["op"]
        if not (step.get("new") or step.get("old") or {}).get("custom"):
            return  # a component, which is nothing by itself
        self.changes[operation] += 1
        if operation not in ("same", "read", "refresh"):
            paths = ", ".join(step.get("detailedDiff") or step.get("diffs") or [])
            self.changed.append(f"{operation} {step['urn'].rpartition('::')[2]} {paths}".strip())

    def _diagnostic(self, event: Mapping[str, Any] | None) -> None:
        if event is None or event["severity"] not in ("error", "info#err"):
            return
        message = event["message"].strip()
        if message and message not in ("update failed", "preview failed"):
            name = event.get("urn", "").rpartition("::")[2]
            kind = event.get("urn", "").split("::")[2:3]
            where = f"{name} ({kind[0].rpartition('$')[2]}): " if kind else ""
            self.errors.append(f"{where}{message}")
