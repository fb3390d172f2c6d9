"""The Pulumi that `./lab` runs: from PATH, else built once from toolchain/go.mod.

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

from toolchain import progress
from toolchain.install import ROOT, VENV, SetupError, cache_folder, exclusive, replace

# Older ones read flat state without asking and get 403 from MinIO-class stores
# (pulumi#24216, #24109); Pulumi.yaml states the same minimum for plain `pulumi`.
MINIMUM_PULUMI = (3, 257)
MINIMUM_GO = (1, 21)  # the first that fetches the toolchain that go.mod asks for
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
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


def ensure_pulumi() -> Toolchain:
    """The Pulumi to use; built from toolchain/go.mod where the machine has none."""
    script = built_folder() / EXEC_SCRIPT
    found = find_pulumi()
    if found and (found.official_host or script.exists()):
        return found
    with exclusive():
        found = find_pulumi()
        if found is None:
            build(go_command("Pulumi >= 3.257 was not found on PATH"))
            found = find_pulumi()
        if found is None:
            raise SetupError(f"{built_folder() / 'pulumi'} does not run on this machine")
        if not found.official_host and not script.exists():
            fetch_exec_script(go_command(f"{found.pulumi} came without {LANGUAGE_HOST}"))
        # The sources took gigabytes and are of no more use.
        shutil.rmtree(cache_folder() / "go", ignore_errors=True)
    return found


def go_command(reason: str) -> Path:
    """The Go to build with; SetupError that says how to get Pulumi or Go otherwise."""
    remedy = (
        f"{reason}. Install it (https://www.pulumi.com/docs/install/), or Go >= 1.21 to have it "
        "built here (https://go.dev/doc/install; Debian and Ubuntu: apt install golang)"
    )
    go = shutil.which("go")
    if go is None:
        raise SetupError(remedy)
    answer = subprocess.run(
        [go, "version"], capture_output=True, text=True, check=False, env=go_environment()
    )
    found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    if found is None or (int(found[1]), int(found[2])) < MINIMUM_GO:
        raise SetupError(f"{remedy}. {go} is {answer.stdout.strip() or 'broken'}")
    return Path(go)


def go_environment() -> dict[str, str]:
    """Go with every folder it writes to inside the cache folder, the user's settings kept."""
    folder = cache_folder() / "go"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for name in ("tmp", "config"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "GOENV": str(config / "go" / "env"),
        "GOTOOLCHAIN": "auto",
        **os.environ,
        "XDG_CONFIG_HOME": str(folder / "config"),  # Go's telemetry counters go there
        "GOPATH": str(folder),
        "GOMODCACHE": str(folder / "mod"),
        "GOCACHE": str(folder / "build"),
        "GOTMPDIR": str(folder / "tmp"),
        "CGO_ENABLED": "0",
    }


def run_go(label: str, go: Path, *arguments: str, counted: str = "^$", total: int = 0) -> list[str]:
    """Run Go in toolchain/; SetupError with its last lines."""
    env = go_environment()
    flags = subprocess.run(
        [go, "env", "GOFLAGS"], capture_output=True, text=True, check=True, env=env
    ).stdout.strip()
    env["GOFLAGS"] = f"{flags} -modcacherw".strip()  # so that the module cache can be removed
    try:
        return progress.run(
            label,
            [go, *arguments],
            log=cache_folder() / "log" / "go.log",
            counted=counted,
            total=total,
            env=env,
            cwd=ROOT / "toolchain",
        )
    except progress.CommandError as error:
        raise SetupError(
            f"{error}\nIs the Go module proxy of `go env GOPROXY` reachable?"
        ) from None


def build(go: Path) -> None:
    """Build Pulumi and put it and the language host's script into the cache folder."""
    version = pinned_version()
    command = f"{ENGINE_MODULE}/cmd/pulumi"
    packages = run_go(
        f"sources of Pulumi {version}", go, "list", "-deps", command, counted="^go: downloading"
    )
    fetch_exec_script(go)
    new = built_folder() / ".pulumi.new"
    run_go(
        f"building Pulumi {version}, once, some minutes:",
        *(go, "build", "-v", "-trimpath", "-o", str(new)),
        *("-ldflags", f"-s -w -X {SDK_MODULE}/go/common/version.Version={version}", command),
        counted=r"^[\w.\-]+(/[\w.\-]+)*$",
        total=len(packages),
    )
    new.replace(built_folder() / "pulumi")


def fetch_exec_script(go: Path) -> None:
    """Copy the SDK's script that runs a Python program, so that Go is not needed again."""
    told = "\n".join(run_go("language host", go, "mod", "download", "-json", SDK_MODULE))
    module = json.loads(told[told.index("{") :])  # after what Go says about its own downloads
    script = Path(module["Dir"]) / "python" / "cmd" / EXEC_SCRIPT
    replace(built_folder() / EXEC_SCRIPT, script.read_bytes(), 0o755)


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
