"""Images that the lab builds, made by docker's own command as pulumi-docker makes them.

Source: pulumi-docker, provider/image.go. It leaves an image in the engine when it is deleted.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

from rehearsal.acts import Act, ActError, register
from rehearsal.rules import Step
from rehearsal.rules.docker import BUILD


def _run(step: Step, *words: str) -> subprocess.CompletedProcess[str]:
    host = step.config.get("host")
    return subprocess.run(
        ["docker", *words],
        cwd=step.world.facts.folder,
        env={**os.environ, **({"DOCKER_HOST": str(host)} if host else {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _there(step: Step, name: str) -> bool:
    return _run(step, "image", "inspect", "--format", "{{.Id}}", name).returncode == 0


def _build(step: Step) -> dict[str, Any]:
    """Build it, unless the engine has it: the lab's tags are hashes of what is in an image."""
    name, how = str(step.inputs["imageName"]), step.inputs["build"]
    if not _there(step, name):
        context = str(how.get("context") or ".")
        file = str(how.get("dockerfile") or Path(context, "Dockerfile"))
        done = _run(
            step,
            *("build", "--quiet", f"--tag={name}", f"--file={file}"),
            # The machine's own network: the cache of `dev` listens on loopback only.
            "--network=host",
            *(f"--add-host={host}" for host in how.get("addHosts") or ()),
            *(f"--build-arg={key}={text}" for key, text in (how.get("args") or {}).items()),
            context,
        )
        if done.returncode:
            raise ActError(f"{done.stdout}{done.stderr}".strip()[-2000:])
    return {"baseImageName": name, "repoDigest": ""}


def _read(step: Step) -> Any:
    there = _there(step, str(step.existing.inputs["imageName"]))
    return step.existing.inputs if there else None


register(BUILD, Act(create=_build, read=_read, update=_build, delete=lambda _: None))
