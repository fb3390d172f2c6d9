"""A checkout of a test's own, in which `./lab` is run as a person does."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rehearsal import earlier
from tests.harness.patched import patched, sample_file

# `./lab` itself would first look whether its Python packages are there, and install them.
LAB = "import sys; from cli.main import main; sys.exit(main(sys.argv[1:]))"

OUTPUTS = """
import json, sys
from cli.lib.backend import prepare
print(json.dumps(prepare(sys.argv[1])[0].outputs(sys.argv[2], "--show-secrets")))
"""


@dataclass
class Checkout:
    """An environment's: its folder, variables of its commands, and words that each begins with."""

    env: str
    root: Path
    variables: Mapping[str, str]
    before: tuple[str, ...] = ()
    said: list[str] = field(default_factory=list)

    def lab(self, *words: str, typed: str | None = None, seconds: float = 900) -> str:
        """What `./lab WORDS` says; AssertionError with its end where it fails.

        What is `typed` is so on a terminal.
        """
        here, there = pty.openpty()
        os.write(here, f"{typed or ''}\n".encode())
        command = [*self.before, str(self.root / ".venv/bin/python"), "-c", LAB, *words]
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                env=dict(self.variables),
                stdin=subprocess.DEVNULL if typed is None else there,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=seconds,
            )
        finally:
            os.close(here)
            os.close(there)
        self.said.append(done.stdout)
        assert done.returncode == 0, f"./lab {' '.join(words)}:\n{done.stdout[-6000:]}"
        return done.stdout

    def outputs(self, layer: str) -> dict[str, Any]:
        """A layer's outputs, secret ones too."""
        python = str(self.root / ".venv/bin/python")
        command = [*self.before, python, "-c", OUTPUTS, self.env, f"{self.env}-{layer}"]
        done = subprocess.run(
            command, cwd=self.root, env=dict(self.variables), check=True, stdout=subprocess.PIPE
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def checkout(
    env: str,
    folder: Path,
    variables: Mapping[str, str],
    *,
    before: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
) -> Checkout:
    """A copy of the files with the tests' own settings but those `removed`.

    Nothing is written outside of `folder`.
    """
    root = folder / "checkout"
    root.mkdir()
    earlier.follow(root)
    (root / ".venv").symlink_to(Path(sys.prefix))
    document = yaml.safe_load(sample_file(env).read_text())
    document["config"] = patched(env, {"common.rescue.path": str(folder / "rescue")}, removed)
    (root / f"Pulumi.{env}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return Checkout(env, root, variables, before)
