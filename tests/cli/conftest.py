"""A checkout of its own for each test, with a fake `pulumi`."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.commands import status
from cli.commands.init import upstreams as init
from cli.lib import reach
from cli.main import main
from layers import LAYERS
from tests.harness.patched import sample_file
from toolchain import install, obtain, pulumi_cli

ROOT = Path(__file__).parents[2]


@dataclass
class Checkout:
    """Stack files and state in a folder of the test; what the fake `pulumi` was given."""

    root: Path
    fake: Path

    def lab(self, *words: str) -> int:
        """Run `./lab WORDS` in this process; returns its exit code."""
        try:
            return main(words)
        except SystemExit as end:
            return int(end.code or 0)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Each call of `pulumi`, in order."""
        file = self.fake / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def lines(self) -> list[str]:
        """The command lines, without those that only look."""
        looks = ("stack ls", "stack export")
        return [call["line"] for call in self.calls if not call["line"].startswith(looks)]

    def state(self, url: str) -> dict[str, Any]:
        """The stacks that a backend holds."""
        found: dict[str, Any] = json.loads((self.fake / "state.json").read_text()).get(url, {})
        return found

    def fail_at(self, line: str) -> None:
        """Let the commands fail that start like this."""
        (self.fake / "fail").write_text(line)

    def recover(self) -> None:
        """Let no command fail any more."""
        (self.fake / "fail").unlink()

    def forget(self) -> None:
        """Drop the calls so far."""
        (self.fake / "calls.jsonl").unlink(missing_ok=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """The sample settings in a checkout of the test's own."""
    root, fake = tmp_path / "check out", tmp_path / "fake"
    root.mkdir()
    fake.mkdir()
    (root / "stacks").mkdir()
    for env in ("dev", "lab"):
        text = sample_file(env).read_text()
        (root / f"Pulumi.{env}.yaml").write_text(text)
        for layer in LAYERS:
            (root / f"stacks/Pulumi.{env}-{layer}.yaml").symlink_to(f"../Pulumi.{env}.yaml")
    binary = fake / "pulumi"
    script = Path(__file__).parent / "fake_pulumi.py"
    binary.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{script}" "$@"\n')
    binary.chmod(0o755)
    for name in [name for name in os.environ if name.startswith(("PULUMI_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FAKE_PULUMI", str(fake))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(install, "ROOT", root)
    found = pulumi_cli.Toolchain(pulumi=binary, version="v3.259.0", official_host=True)
    monkeypatch.setattr(obtain, "ensure_pulumi", lambda: found)
    monkeypatch.setattr(reach, "require", lambda *_: None)  # tests/cli/test_reach.py is about it
    monkeypatch.setattr(status, "after_up", lambda _: None)  # tests/cli/test_status.py is about it
    # Nor are this machine's pip, npm and apt asked for each `init`; tests/cli/test_init.py asks.
    monkeypatch.setattr(init, "pip_index", lambda: None)
    monkeypatch.setattr(init, "npm_registry", lambda: None)
    monkeypatch.setattr(init, "archives", lambda _: [])
    yield Checkout(root, fake)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that a person answers: `terminal("typed", secret="unseen")`."""

    def answer(*typed: str, secrets: tuple[str, ...] = ()) -> None:
        words, hidden = iter(typed), iter(secrets)
        monkeypatch.setattr("cli.lib.ask.os.isatty", lambda _: True)
        monkeypatch.setattr("builtins.input", lambda _: next(words))
        monkeypatch.setattr("getpass.getpass", lambda _: next(hidden))

    return answer
