"""The runs of Ansible that the state holds, and what they would change now."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli.lib.pulumi import DRIFTED, Engine
from targets.ansible import ENVIRONMENT, MACHINE, PLAYBOOK

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


def runs(engine: Engine, stack: str) -> Iterator[Run]:
    """Every run of Ansible in a stack's state, with the secrets that it needs."""
    return among(engine.resources(stack, "--show-secrets"))


def among(resources: Iterable[Mapping[str, Any]]) -> Iterator[Run]:
    """Every run of Ansible among resources whose secrets are in clear."""
    for resource in resources:
        inputs: dict[str, Any] = resource.get("inputs") or {}
        # By its end, as the state may be of an earlier version.
        if str(inputs.get("create")).endswith(f" {MACHINE}"):
            name = str(resource["urn"]).rpartition("::")[2]
            yield Run(name=name, job=json.loads(inputs["stdin"]["plaintext"]))


def look(engine: Engine, run: Run, *options: str) -> Seen:
    """Run in check mode; what failed is on standard error, with its reason."""
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
