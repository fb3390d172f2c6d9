"""GitLab pipelines without GitLab: gitlab-ci-local on a copy of a repository.

It knows the language (includes, inputs, rules, extends) and runs jobs in a shell; it knows no
tiers, tokens, protected variables or resource groups.
"""

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.harness.node import NODE, tool
from tests.harness.process import clean_environment

ROOT = Path(__file__).parents[2]
ORIGIN = "git@gitlab.test:{path}.git"
# How gitlab-ci-local fetches `include: project`.
ARCHIVE = "ssh://git@gitlab.test:22/{path}.git"


def git(folder: Path, *words: str) -> str:
    """Run git in `folder` as somebody, whatever the machine's configuration."""
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        env=clean_environment(GIT_CONFIG_GLOBAL=os.devnull),
    ).stdout


@dataclass
class Repository:
    """A checkout whose remote is the GitLab project `path`; `bare` is that project."""

    folder: Path
    path: str
    bare: Path
    redirects: list[tuple[Path, str]] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path, path: str, files: Mapping[str, Path]) -> "Repository":
        """A repository with one commit of `files` (name in the repository -> source) on main."""
        work, bare = folder / "work", folder / "bare.git"
        work.mkdir(parents=True)
        git(folder, "init", "-q", "--bare", "-b", "main", str(bare))
        git(work, "init", "-q", "-b", "main")
        for name, source in files.items():
            target = work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", "first")
        git(work, "remote", "add", "origin", str(bare))
        git(work, "push", "-q", "origin", "main")
        git(work, "remote", "set-head", "origin", "main")
        # From its shape gitlab-ci-local learns the server and the project.
        git(work, "remote", "set-url", "origin", ORIGIN.format(path=path))
        return cls(work, path, bare)

    def change(self, *names: str) -> None:
        """On a branch, one commit that changes `names`."""
        git(self.folder, "checkout", "-q", "-f", "-B", "feature", "main")
        for name in names:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("a") as file:
                file.write("\n# changed\n")
        git(self.folder, "add", *names)
        git(self.folder, "commit", "-q", "-m", "change")

    def command(
        self, *words: str, variables: Mapping[str, str], inputs: Mapping[str, object] | None = None
    ) -> list[str]:
        """The command line for gitlab-ci-local."""
        options = [f"--variable={name}={value}" for name, value in variables.items()]
        # Its --input reads "42" as a number; JSON, as GitLab's API takes it, has types.
        (self.folder.parent / "inputs.yml").write_text(json.dumps(dict(inputs or {})))
        return [
            str(tool("gitlab-ci-local")),
            *words,
            *options,
            *(["--ignore-predefined-vars=" + ",".join(variables)] if variables else []),
            "--inputs-file=../inputs.yml",
            "--force-shell-executor",
            "--no-color",
        ]

    def environment(self) -> dict[str, str]:
        """Node on PATH; every project of `redirects` is a folder of the test."""
        config = {
            "GIT_CONFIG_COUNT": str(len(self.redirects)),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ALLOW_PROTOCOL": "file",
        }
        for number, (bare, path) in enumerate(self.redirects):
            config[f"GIT_CONFIG_KEY_{number}"] = f"url.file://{bare}.insteadOf"
            config[f"GIT_CONFIG_VALUE_{number}"] = ARCHIVE.format(path=path)
        base = clean_environment(HOME=str(self.folder.parent))
        return {**base, **config, "PATH": f"{NODE}:{base['PATH']}"}

    def run(self, *jobs: str, variables: Mapping[str, str], **options: Any) -> tuple[int, str]:
        """Run a pipeline, or only `jobs`; returns exit code and output.

        Variables go by a file, so that what is secret is in no process's arguments.
        """
        file = self.folder.parent / "variables.yml"
        file.write_text(json.dumps(dict(variables)))
        inputs, path = options.pop("inputs", None), options.pop("path", [])
        environment = self.environment()
        environment["PATH"] = ":".join([*map(str, path), environment["PATH"]])
        done = subprocess.run(
            [
                *self.command(*jobs, variables={}, inputs=inputs),
                "--variables-file=../variables.yml",
                "--ignore-predefined-vars=" + ",".join(variables),
                "--no-shell-isolation",
            ],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout

    def jobs(
        self, variables: Mapping[str, str], inputs: Mapping[str, object] | None = None
    ) -> dict[str, str]:
        """Job -> when, for the jobs that a pipeline would have. Raises with GitLab's words."""
        done = subprocess.run(
            self.command("--list-csv", variables=variables, inputs=inputs),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ValueError(done.stderr + done.stdout)
        lines = done.stdout.splitlines()
        start = next(n for n, line in enumerate(lines) if line.startswith("name;"))
        return {row["name"]: row["when"] for row in csv.DictReader(lines[start:], delimiter=";")}

    def expanded(self) -> dict[str, Any]:
        """The whole configuration, with what it includes and without inputs."""
        done = subprocess.run(
            self.command("--preview", variables={}),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        start = done.stdout.index("---\n")
        found: dict[str, Any] = yaml.safe_load(done.stdout[start:])
        return found
