"""`./lab drift`: whether the world is still as the state says, machines' insides included."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cli.backend import chosen, prepare
from cli.engine import Engine
from cli.stacks import require_stacks
from places.ansible import ENVIRONMENT, PLAYBOOK

DRIFTED = 7  # as Pulumi ends where `--expect-no-changes` finds some
# As ansible/plugins/callback/datalab.py lists what a run in check mode would change.
DIFFERS = re.compile(r"^DIFFERS (machine .*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of Ansible as the state has it: its resource's name and its standard input."""

    name: str
    job: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a run would change now: machine, role and task of each; its code as `drift`'s.

    output is what Ansible printed.
    """

    code: int
    differences: tuple[str, ...]
    output: str


def drift(values: argparse.Namespace) -> int:
    """Compare; exit 7 where something differs, 1 where something could not be looked at."""
    engine, _ = prepare(values.env)
    layers = chosen(values.layer)
    require_stacks(values.env, layers, engine.stacks())
    codes = []
    for layer in layers:
        stack = f"{values.env}-{layer}"
        codes.append(engine.run("preview", "--refresh", "--expect-no-changes", "-s", stack))
        codes += [compare(engine, run) for run in runs(engine, stack)]
    return next((code for code in codes if code not in {0, DRIFTED}), max(codes, default=0))


def runs(engine: Engine, stack: str) -> Iterator[Run]:
    """Every run of Ansible in a stack's state, with the secrets that it needs."""
    for resource in engine.resources(stack, "--show-secrets"):
        inputs: dict[str, Any] = resource.get("inputs") or {}
        if inputs.get("create") == PLAYBOOK:
            name = str(resource["urn"]).rpartition("::")[2]
            yield Run(name=name, job=json.loads(inputs["stdin"]["plaintext"]))


def compare(engine: Engine, run: Run) -> int:
    """What a run would change now, on the terminal; nothing is changed. Its code as `drift`'s."""
    seen = look(engine, run, "--diff")
    print(seen.output, flush=True)
    return seen.code


def look(engine: Engine, run: Run, *options: str) -> Seen:
    """Run in check mode; what failed stands on standard error, with its reason."""
    command = [*PLAYBOOK.split(), "--check", *options]
    print(f"$ {' '.join(command)}  # {run.name}", file=sys.stderr, flush=True)
    done = subprocess.run(
        command,
        input=run.job,
        cwd=engine.folder,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    found = tuple(DIFFERS.findall(done.stdout))
    code = 1 if done.returncode else DRIFTED if found else 0
    return Seen(code=code, differences=found, output=done.stdout)
