"""Commands of this machine, run as pulumi-command runs them.

Source: pulumi-command, provider/pkg/provider/local/commandController.go and commandOutputs.go.
"""

import os
import subprocess
from typing import Any

from rehearsal.acts import Act, ActError, register
from rehearsal.rules import Step
from rehearsal.rules.local import LOCAL

SHELL = ["/bin/sh", "-c"]


def _run(step: Step, command: str | None) -> dict[str, Any]:
    """Run a command of the resource, in the project's folder; what it wrote last."""
    known = step.old.outputs if step.old else {}
    before = {name: str(known.get(name, "")) for name in ("stdout", "stderr")}
    if not command:
        return before
    given = dict(step.inputs.get("environment") or {})
    if step.inputs.get("addPreviousOutputInEnv", True):
        given |= {f"PULUMI_COMMAND_{name.upper()}": text for name, text in before.items() if text}
    done = subprocess.run(
        [*(step.inputs.get("interpreter") or SHELL), command],
        cwd=step.inputs.get("dir") or step.world.facts.folder,
        env={**os.environ, **given},
        input=step.inputs.get("stdin") or "",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # Not the command, which may hold what a person gave it.
        said = f"{done.stdout}{done.stderr}".strip()[-2000:]
        raise ActError(f"exit status {done.returncode}:\n{said}")
    return {"stdout": done.stdout.removesuffix("\n"), "stderr": done.stderr.removesuffix("\n")}


def _create(step: Step) -> dict[str, Any]:
    return _run(step, step.inputs.get("create"))


def _update(step: Step) -> dict[str, Any]:
    return _run(step, step.inputs.get("update") or step.inputs.get("create"))


def _delete(step: Step) -> None:
    _run(step, step.inputs.get("delete"))


def _read(step: Step) -> dict[str, Any]:
    return step.existing.inputs


register(LOCAL, Act(create=_create, read=_read, update=_update, delete=_delete))
