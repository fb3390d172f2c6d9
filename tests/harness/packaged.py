"""The images of images/from-packages for a test's engine, and what the lab builds on them.

They are built once, by an engine that reaches this machine's network, and kept as archives: one
that can make networks has none to build with.
"""

import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cli.lib.packaged.build import make
from settings.packaged import Contract, contracts
from tests.harness.docker import engine
from tests.harness.process import clean_environment
from toolchain.install import ROOT
from toolchain.kept import cached

Builds = Callable[[str], object]  # in the engine of a DOCKER_HOST


def load(archives: Iterable[Path], host: str) -> None:
    """Give an engine these images."""
    for archive in archives:
        command = ["docker", "--host", host, "load", "--quiet", "--input", str(archive)]
        subprocess.run(command, check=True, capture_output=True)


def made(wanted: Iterable[Contract]) -> list[Path]:
    """An archive of each image that is made from packages."""
    return _kept({contract.reference: partial(_make, contract) for contract in wanted})


def built(wanted: Iterable[Mapping[str, Any]]) -> list[Path]:
    """An archive of each image that the lab builds, as docker.Image is told to."""
    return _kept({str(inputs["imageName"]): partial(_build, inputs) for inputs in wanted})


def _make(contract: Contract, host: str) -> None:
    make([contract], clean_environment(DOCKER_HOST=host))


def _build(inputs: Mapping[str, Any], host: str) -> None:
    how = inputs["build"]
    bases = set(how["args"].values())
    for contract in dict.fromkeys(contracts().values()):
        if contract.reference in bases:
            _make(contract, host)
    arguments = [f"--build-arg={name}={value}" for name, value in how["args"].items()]
    command = [
        *("docker", "--host", host, "build", "--quiet", "--network=host", *arguments),
        *("--tag", inputs["imageName"], "--file", how["dockerfile"], how["context"]),
    ]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def _kept(wanted: Mapping[str, Builds]) -> list[Path]:
    """The archives of images by reference, of which the cache folder has those that are done."""
    with ExitStack() as stack:

        @cache
        def host() -> str:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            return stack.enter_context(engine(folder))

        def archive(reference: str, build: Builds, folder: Path) -> None:
            build(host())
            words = ("save", "--output", str(folder / "image.tar"), reference)
            subprocess.run(["docker", "--host", host(), *words], check=True, capture_output=True)

        found = []
        for reference, build in wanted.items():
            name = reference.rpartition("/")[2].replace(":", "-")
            found.append(cached(f"image-{name}", partial(archive, reference, build)) / "image.tar")
        return found
