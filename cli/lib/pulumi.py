"""Runs plain Pulumi, says what it runs, and hands a Ctrl-C on exactly once."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from cli.lib.fault import Fault

DRIFTED = 7  # Pulumi's exit code where `--expect-no-changes` finds some
WAITING_S = 30  # a job of CI that is silent for long looks dead
# The key by which Pulumi marks a secret value in a state file (sdk/go/common/resource/sig).
SECRET_MARK = "4dabf18193072939515e22adb298388d"  # noqa: S105 - a published constant


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a preview found; data is its JSON, empty where it got none, and `said` the reason."""

    code: int
    data: Mapping[str, Any]
    said: str

    @property
    def failed(self) -> bool:
        """Whether it broke off; to find changes is no failure."""
        return self.code not in (0, DRIFTED)

    @property
    def why(self) -> str:
        """Why it broke off."""
        return self.said.strip() or "".join(row["message"] for row in self.errors).strip()

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Its steps, as `pulumi preview --json` lists them."""
        return list(self.data.get("steps") or ())

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Its diagnostics that are errors."""
        found = self.data.get("diagnostics") or ()
        return [row for row in found if row.get("severity") == "error"]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Pulumi in one project folder, with the variables of one environment."""

    folder: Path
    variables: Mapping[str, str]  # the whole environment of the process

    def run(self, *arguments: str) -> int:
        """Run with the terminal's own input and output; returns Pulumi's exit code."""
        show_command(arguments)
        return wait(["pulumi", *arguments], self.folder, self.variables)

    def capture(
        self, *arguments: str, text: str | None = None, timeout_s: float | None = None
    ) -> str:
        """Standard output of a command that asks nothing; `text` is its standard input.

        Raises Fault with what Pulumi wrote to standard error.
        """
        try:
            answer = subprocess.run(
                ["pulumi", *arguments, "--non-interactive"],
                cwd=self.folder,
                env=dict(self.variables),
                capture_output=True,
                text=True,
                input=text if text is not None else "",
                check=False,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise Fault(f"pulumi {shlex.join(arguments)}: no end after {timeout_s} s") from None
        if answer.returncode:
            said = answer.stderr.strip() or answer.stdout.strip()
            raise Fault(f"pulumi {shlex.join(arguments)}: {said}", answer.returncode)
        return answer.stdout

    def preview(
        self, stack: str, *options: str, waiting: Callable[[], None] = lambda: None
    ) -> Preview:
        """A stack's preview as data; `waiting` is called now and then until it is there."""
        with subprocess.Popen(
            ["pulumi", "preview", "-s", stack, "--json", *options, "--non-interactive"],
            cwd=self.folder,
            # With it `--json` prints events as they come.
            env={**self.variables, "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while True:
                try:
                    told, said = process.communicate(timeout=WAITING_S)
                    break
                except subprocess.TimeoutExpired:
                    waiting()
        try:
            data: dict[str, Any] = json.loads(told)
        except ValueError:
            data, said = {}, said.strip() or told.strip()
        return Preview(code=process.returncode, data=data, said=said)

    def stacks(self) -> dict[str, int]:
        """Every stack of the backend and the number of resources that it holds."""
        listed: list[dict[str, Any]] = json.loads(self.capture("stack", "ls", "--json"))
        return {row["name"]: row.get("resourceCount", 0) for row in listed}

    def outputs(self, stack: str, *options: str) -> dict[str, Any]:
        """A stack's outputs; with the option --show-secrets they are all in clear."""
        found: dict[str, Any] = json.loads(
            self.capture("stack", "output", "--json", *options, "-s", stack)
        )
        return found

    def resources(
        self, stack: str, *options: str, timeout_s: float | None = None
    ) -> list[dict[str, Any]]:
        """The resources in a stack's state; with the option --show-secrets they are in clear."""
        words = ("stack", "export", *options, "-s", stack)
        state = json.loads(self.capture(*words, timeout_s=timeout_s))
        return state["deployment"].get("resources") or []


def visible(properties: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Properties with the wrapping of secrets taken off, in memory only."""
    for name, value in properties.items():
        if isinstance(value, dict) and SECRET_MARK in value:
            yield name, json.loads(value["plaintext"])
        else:
            yield name, value


def show_command(arguments: Sequence[str]) -> None:
    """Print the plain command, as a person would type it after `eval "$(./lab env ENV)"`."""
    print(f"$ pulumi {shlex.join(arguments)}", file=sys.stderr, flush=True)


def wait(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> int:
    """Run `command` and wait for it, whatever signal arrives; returns its exit code.

    A second interrupt makes Pulumi drop the operation under way. On a terminal the kernel sends
    Ctrl-C to the whole group, so it is not passed on; elsewhere the child gets a group of its own
    and the signal from here, once.
    """
    shared = os.isatty(0)
    process = subprocess.Popen(
        list(command), cwd=folder, env=dict(variables), process_group=None if shared else 0
    )
    sent = False

    def forward(number: int, _frame: FrameType | None) -> None:
        nonlocal sent
        if not sent and not (shared and number == signal.SIGINT):
            process.send_signal(number)
        sent = True

    before = {name: signal.signal(name, forward) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = process.wait()
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    return 128 - code if code < 0 else code
