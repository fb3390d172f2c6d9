"""`./lab drift`: whether the world is still as the state says, machines' insides included."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from cli import reach
from cli.backend import chosen, prepare
from cli.ci.plan import reduce
from cli.engine import Engine
from cli.fault import say
from cli.stacks import require_made
from cli.terminal import print_json
from places.ansible import ENVIRONMENT, MACHINE, PLAYBOOK

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
    engine, settings = prepare(values.env)
    layers = chosen(values.layer)
    known = engine.stacks()
    require_made(values.env, layers, known)
    there = [layer for layer in layers if known[f"{values.env}-{layer}"]]
    if empty := [layer for layer in layers if layer not in there]:
        say(f"not up, so nothing of it can differ: {', '.join(empty)}")
    if there:
        reach.require(engine, settings, layers)
    found = {layer: Layer() for layer in there}
    for layer, seen in found.items():
        stack = f"{values.env}-{layer}"
        if values.json:
            seen.preview(engine, layer, stack)
        else:
            words = ("preview", "--refresh", "--expect-no-changes", "-s", stack)
            seen.codes.append(engine.run(*words))
        for run in runs(engine, stack):
            inside = look(engine, run, *([] if values.json else ["--diff"]))
            seen.codes.append(inside.code)
            seen.machines += inside.differences
            if not values.json:
                print(inside.output, flush=True)
    if values.json:
        print_json({layer: asdict(seen) | {"code": seen.code} for layer, seen in found.items()})
    return worst(seen.code for seen in found.values())


def worst(codes: Iterable[int]) -> int:
    """The code of a whole: a failure's, else whether something differs."""
    all_codes = list(codes)
    return next((code for code in all_codes if code not in {0, DRIFTED}), max(all_codes, default=0))


@dataclass
class Layer:
    """What was found of a layer: resources and machines' insides that differ."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    @property
    def code(self) -> int:
        """Its code as `drift`'s."""
        return worst(self.codes)

    def preview(self, engine: Engine, layer: str, stack: str) -> None:
        """Compare its resources; names only, as the values may be secret."""
        words = ("preview", "--refresh", "--expect-no-changes", "--json", "--non-interactive")
        done = subprocess.run(
            ["pulumi", *words, "-s", stack],
            cwd=engine.folder,
            # With it `--json` prints events as they come.
            env={**engine.variables, "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "false"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        self.codes.append(done.returncode)
        steps = reduce(layer, "", json.loads(done.stdout or "{}")).steps
        self.resources += [
            {"op": step.op, "type": step.type, "name": step.name, "properties": step.properties}
            for step in steps
        ]


def runs(engine: Engine, stack: str) -> Iterator[Run]:
    """Every run of Ansible in a stack's state, with the secrets that it needs."""
    for resource in engine.resources(stack, "--show-secrets"):
        inputs: dict[str, Any] = resource.get("inputs") or {}
        # By its end, as the state may be of an earlier version.
        if str(inputs.get("create")).endswith(f" {MACHINE}"):
            name = str(resource["urn"]).rpartition("::")[2]
            yield Run(name=name, job=json.loads(inputs["stdin"]["plaintext"]))


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
