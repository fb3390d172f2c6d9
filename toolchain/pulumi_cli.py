"""The Pulumi that `./lab` runs: from PATH, else what toolchain/obtain.py put into the cache folder.

Standard library only.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain.files import ROOT, replace
from toolchain.install import VENV, SetupError, cache_folder

# Older ones read flat state without asking and get 403 from MinIO-class stores
# (pulumi#24216, #24109); Pulumi.yaml states the same minimum for plain `pulumi`.
MINIMUM_PULUMI = (3, 257)
ENGINE_MODULE = "github.com/pulumi/pulumi/pkg/v3"
EXEC_SCRIPT = "pulumi-language-python-exec"
LANGUAGE_HOST = "pulumi-language-python"
OWN_HOST = ROOT / "toolchain" / "bin"


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """The Pulumi that `./lab` runs."""

    pulumi: Path
    version: str  # v3.259.0
    official_host: bool  # whether pulumi-language-python came with it

    @property
    def path(self) -> tuple[Path, ...]:
        """Folders that belong at the front of PATH."""
        own = () if self.official_host else (built_folder(), OWN_HOST)
        return tuple(dict.fromkeys((VENV / "bin", self.pulumi.parent, *own)))


def pinned_version() -> str:
    """The Pulumi version that toolchain/go.mod pins, such as v3.259.0."""
    text = (ROOT / "toolchain" / "go.mod").read_text()
    found = re.search(rf"{re.escape(ENGINE_MODULE)} (v\S+)", text)
    if found is None:
        raise SetupError(f"toolchain/go.mod does not require {ENGINE_MODULE}")
    return found[1]


def built_folder() -> Path:
    """Where the Pulumi that was built here lives, keyed by version."""
    return cache_folder() / "pulumi" / pinned_version()


def version_of(pulumi: Path) -> str | None:
    """What `pulumi version` says; remembered, as starting it costs a second start dear."""
    file = pulumi.stat()
    key = f"{pulumi} {file.st_mtime_ns} {file.st_size}"
    memory = cache_folder() / "pulumi" / "versions.json"
    try:
        known: dict[str, str] = json.loads(memory.read_text())
    except (FileNotFoundError, ValueError):
        known = {}
    if key not in known:
        env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_HOME": str(pulumi_home())}
        answer = subprocess.run(
            [pulumi, "version"], capture_output=True, text=True, check=False, env=env
        )
        found = re.search(r"^v\d+\.\d+\.\d+\S*$", answer.stdout, re.MULTILINE)
        if answer.returncode or found is None:
            return None
        known = {key: found[0]}
        replace(memory, json.dumps(known).encode())
    return known[key]


def new_enough(version: str) -> bool:
    """Whether a version such as v3.259.0 is one that the lab's state and store need."""
    numbers = re.findall(r"\d+", version)
    return (int(numbers[0]), int(numbers[1])) >= MINIMUM_PULUMI


def pulumi_home() -> Path:
    """Pulumi's own folder: the user's where PULUMI_HOME says so, else inside the cache folder."""
    return Path(os.environ.get("PULUMI_HOME") or cache_folder() / "pulumi-home")


def find_pulumi() -> Toolchain | None:
    """The Pulumi on PATH where it is new enough, else the one built here, else None."""
    search = os.pathsep.join(
        folder
        for folder in os.environ.get("PATH", "").split(os.pathsep)
        if not Path(folder).is_relative_to(cache_folder()) and Path(folder) != OWN_HOST
    )
    host = shutil.which(LANGUAGE_HOST, path=search)
    candidates = [shutil.which("pulumi", path=search), str(built_folder() / "pulumi")]
    for candidate in candidates:
        if candidate is None or not Path(candidate).exists():
            continue
        pulumi = Path(candidate)
        version = version_of(pulumi)
        if version is None or not new_enough(version):
            continue
        official = bool(host) or (pulumi.resolve().parent / LANGUAGE_HOST).exists()
        return Toolchain(pulumi=pulumi, version=version, official_host=official)
    return None


def complete(found: Toolchain | None) -> bool:
    """Whether it can run a Python program: with its own language host, or with our script."""
    return found is not None and (found.official_host or (built_folder() / EXEC_SCRIPT).exists())


def environment(toolchain: Toolchain, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """`base` (os.environ) with what plain `pulumi` and Ansible need to run this checkout."""
    base = os.environ if base is None else base
    front = [str(folder) for folder in toolchain.path]
    rest = [part for part in base.get("PATH", os.defpath).split(os.pathsep) if part not in front]
    return {
        "PULUMI_HOME": str(pulumi_home()),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "ANSIBLE_HOME": str(ROOT / ".ansible"),
        **base,
        "PATH": os.pathsep.join([*front, *rest]),
    }
