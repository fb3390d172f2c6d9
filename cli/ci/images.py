"""Builds the images of the lab that its registry does not have yet.

The version of an image is a hash of all that is in it (places/image.py), so an image that is there
under its version is not built again, and layers and CI mean the same by the same name.
"""

import importlib
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from cli.ci.forge import required
from cli.fault import Fault
from places.image import ROOT, Recipe, version

# Image -> where its recipe is.
RECIPES = {
    "runner": "layers.apps.runner_image:RUNNER",
    "deployer": "layers.apps.runner_image:DEPLOYER",
    "mlflow": "layers.services.mlflow:RECIPE",
    "model-server": "layers.apps.model_server:RECIPE",
    "web": "layers.apps.web:RECIPE",
}
# What the deploying job knows of the package cache; docker takes their values from the environment.
SOURCES = ("PIP_INDEX_URL", "PIP_TRUSTED_HOST", "NPM_CONFIG_REGISTRY", "APT_PROXY")
# Key files and the tokens of what the lab runs: GitLab, Vault, Pulumi, cloud-style access keys.
SECRET = re.compile(
    rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"
    rb"|\bgl(?:pat|ptt|rt|dt)-[A-Za-z0-9_-]{20}"
    rb"|\bhv[sbr]\.[A-Za-z0-9_-]{24}"
    rb"|\bpul-[0-9a-f]{40}\b"
    rb"|\bAKIA[0-9A-Z]{16}\b"
)
# Variables of the job whose values must not be in an image.
HIDDEN = re.compile(r"PASS|SECRET|TOKEN|_KEY|_PEM")
LARGEST = 4 * 1024 * 1024  # bytes; no key file is as long
NEWEST = "ubuntu:custom"  # the name by which jobs of old know the runner image


def recipes() -> dict[str, Recipe]:
    """The recipe of every image that the lab builds."""
    found = {}
    for image, place in RECIPES.items():
        module, _, name = place.partition(":")
        found[image] = getattr(importlib.import_module(module), name)
    return found


def build_all(out: Path) -> int:
    """Build, scan and push what is new; write the manifest `images.json` into `out`."""
    registry = required("CI_REGISTRY_IMAGE")
    _login()
    manifest = {}
    for name, recipe in recipes().items():
        reference = f"{registry}/{name}:{version(recipe)}"
        digest = _digest(reference)
        if digest is None:
            print(f"{reference}: building", flush=True)
            digest = _make(reference, recipe)
        else:
            print(f"{reference}: is there")
        manifest[name] = {"version": version(recipe), "image": f"{registry}/{name}@{digest}"}
    _move(manifest["runner"]["image"], f"{registry}/{NEWEST}")
    out.mkdir(exist_ok=True)
    (out / "images.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))
    return 0


def _login() -> None:
    docker(
        "login",
        "--username",
        required("CI_REGISTRY_USER"),
        "--password-stdin",
        required("CI_REGISTRY"),
        text=required("CI_REGISTRY_PASSWORD"),
    )


def _make(reference: str, recipe: Recipe) -> str:
    sources = [word for name in SOURCES if os.environ.get(name) for word in ("--build-arg", name)]
    bases = [word for pair in recipe.base.items() for word in ("--build-arg", "=".join(pair))]
    dockerfile = recipe.dockerfile or f"{recipe.context}/Dockerfile"
    docker(
        "build",
        "--tag",
        reference,
        "--file",
        dockerfile,
        *bases,
        *sources,
        recipe.context,
        show=True,
    )
    if found := scan(reference):
        docker("image", "rm", "--force", reference)
        raise Fault("\n".join([f"{reference} holds secrets and is not pushed:", *found]))
    docker("push", "--quiet", reference)
    digest = _digest(reference)
    if digest is None:
        raise Fault(f"{reference} was pushed, but the registry does not have it")
    return digest


def _digest(reference: str) -> str | None:
    """The digest by which the registry has `reference`; None where it has not."""
    done = subprocess.run(
        [
            "docker",
            "buildx",
            "imagetools",
            "inspect",
            "--format",
            "{{.Manifest.Digest}}",
            reference,
        ],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        return done.stdout.strip()
    if "not found" in done.stderr or "no such manifest" in done.stderr:
        return None
    raise Fault(f"cannot ask the registry about {reference}: {done.stderr.strip()[:300]}")


def _move(image: str, name: str) -> None:
    """Let the tag `name` mean `image`, which has a digest."""
    if _digest(name) != image.rpartition("@")[2]:
        docker("buildx", "imagetools", "create", "--tag", name, image)
        print(f"{name}: now {image}")


def docker(*words: str, text: str | None = None, show: bool = False) -> None:
    """Run docker; Fault with the end of what it said when it fails."""
    done = subprocess.run(
        ["docker", *words],
        cwd=ROOT,
        input=text or "",
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Fault(f"docker {words[0]} failed: {(done.stdout or '').strip()[-500:]}")


def scan(reference: str) -> list[str]:
    """Files of an image's layers, and steps of its history, that hold a secret; no values."""
    known = [
        value.encode()
        for name, value in os.environ.items()
        if HIDDEN.search(name) and len(value) >= 8
    ]
    history = subprocess.run(
        ["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", reference],
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    ).stdout
    found = ["its history"] if _secret(history, known) else []
    with subprocess.Popen(["docker", "save", reference], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101  # PIPE
        found += sorted(set(scan_archive(process.stdout, known)))
    if process.returncode:
        raise Fault(f"docker save {reference} failed")
    return found


def scan_archive(archive: IO[bytes], known: Sequence[bytes]) -> Iterator[str]:
    """Names of the files in a (nested) tar stream that hold a secret."""
    with tarfile.open(fileobj=archive, mode="r|*") as files:
        for member in files:
            content = files.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            reader = cast(io.BufferedReader, content)
            if _is_layer(member.name, reader.peek(512)):
                yield from scan_archive(reader, known)
            elif member.size <= LARGEST and _secret(reader.read(), known):
                yield member.name


def _is_layer(name: str, start: bytes) -> bool:
    # Layers are called layer.tar, or by their digest in the OCI layout.
    inside = name.endswith("layer.tar") or name.startswith("blobs/")
    return inside and (start[257:262] == b"ustar" or start[:2] == b"\x1f\x8b")


def _secret(content: bytes, known: Sequence[bytes]) -> bool:
    return bool(SECRET.search(content)) or any(value in content for value in known)
