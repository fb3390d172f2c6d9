"""An engine as tests ask it, and images without a registry."""

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rehearsal.rules.docker import BUILD
from rehearsal.terraform.provider import RealProvider
from settings import images
from tests.harness.deploy import deploy
from tests.harness.process import clean_environment
from toolchain.kept import cached

STUB = Path(__file__).parents[1] / "fixtures" / "stub" / "main.go"

# What entry points and health checks call.
PROGRAMS = (
    *("bash", "curl", "mc", "nginx", "node", "ollama", "pg_isready", "python", "setpriv", "sh"),
    *("gitlab-runner", "wget"),
)


def stub() -> Path:
    """The program that stands in for every other."""

    def build(folder: Path) -> None:
        command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(folder / "stub")]
        env = clean_environment(CGO_ENABLED="0", GO111MODULE="off")
        subprocess.run([*command, str(STUB)], env=env, check=True)

    return cached(f"stub-{hashlib.sha256(STUB.read_bytes()).hexdigest()[:12]}", build) / "stub"


def _layer(programs: Sequence[str]) -> bytes:
    """A root file system: the stub under every name of `programs`, and users."""
    names = ("root", "appuser", "openbao", "nginx")  # any number does: files go by number
    lines = [f"{name}:x:{number}:0::/:/bin/sh\n" for number, name in enumerate(names)]
    users = {"etc/passwd": "".join(lines).encode()}
    program = stub().read_bytes()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path in (".", "bin", "etc"):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, content in {"bin/stub": program, **users}.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for name in programs:
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "stub"
            archive.addfile(entry)
    return made.getvalue()


def make_image(
    host: str, reference: str, user: str = "", programs: Sequence[str] = PROGRAMS
) -> None:
    """Make an image whose every program is the stub; `user` is that of the image."""
    changes = ['ENTRYPOINT ["/bin/stub"]', *([f"USER {user}"] if user else [])]
    words = [word for change in changes for word in ("--change", change)]
    subprocess.run(
        ["docker", "--host", host, "import", *words, "-", reference],
        input=_layer(programs),
        check=True,
        capture_output=True,
    )


def built(
    sums: Callable[[], Mapping[str, str]], change: Mapping[str, Any] | None = None
) -> list[Mapping[str, Any]]:
    """The images that the lab builds in `dev`; `sums` stands for `settings.images.sums`.

    They are named by what they are built from, digests included.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "sums", sums)
        layers = deploy("dev", change).values()
    return [one.inputs for layer in layers for one in layer.all(BUILD)]


def make_built_images(host: str, sums: Callable[[], Mapping[str, str]]) -> None:
    """Make stubs of what the lab builds in `dev`."""
    for inputs in built(sums):
        make_image(host, inputs["imageName"])


class Docker:
    """The engine as a person asks it."""

    def __init__(self, host: str) -> None:
        self.host = host

    def ask(self, *words: str) -> str:
        """Run a command; its standard output."""
        command = ["docker", "--host", self.host, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def id(self, name: str) -> str:
        """A container's id."""
        return self.ask("container", "inspect", "--format", "{{.Id}}", f"datalab-{name}")

    def entry(self, name: str, path: str) -> tarfile.TarInfo:
        """A file in a container: its owner and mode."""
        command = ["docker", "--host", self.host, "cp", f"datalab-{name}:{path}", "-"]
        copied = subprocess.run(command, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(copied)) as archive:
            return archive.getmembers()[0]


class ByTag(RealProvider):
    """The provider without images' digests: an engine has one by its digest only if it pulled it.

    The program runs on its own and reads images.sum, unlike the tests' process.
    """

    def _wanted(self, *arguments: Any) -> tuple[str, Any]:
        type_, wanted = super()._wanted(*arguments)
        if type_ == "docker_image" and isinstance(wanted["name"], str):
            wanted["name"] = wanted["name"].partition("@")[0]
        return type_, wanted
