"""Builds the images of the lab that its registry does not have yet.

The version of an image is a hash of all that is in it (targets/image.py), so an image that is there
under its version is not built again, and layers and CI mean the same by the same name.
"""

import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import httpx

from cli.ci.forge import required
from cli.lib import http, registry
from cli.lib.docker import client_certificate
from cli.lib.fault import Fault
from layers.builder import builder
from settings import Settings
from settings.declarations import RECIPES
from settings.platform.runner import downloads
from settings.recipe import Recipe
from targets.downloads import unpinned_fault
from targets.image import ROOT, Builder, version
from toolchain.private import private_folder

FILE = "images.json"  # the manifest
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
# What pip installed, by the hashes of requirements.txt: it is public, examples of keys in its
# documentation too (pulumi_vault has one). The job's own secrets are looked for there all the same.
PUBLIC = re.compile(r"/(?:site|dist)-packages/")
LARGEST = 4 * 1024 * 1024  # bytes; no key file is as long
# Every project's jobs run in these, a fork's and a personal project's too, whose tokens GitLab lets
# pull nothing here (docs/ci.md). So the engine must have them: the runner pulls the absent only.
EVERYBODYS = ("runner", "deployer")
NEWEST = ("ubuntu", "custom")  # a name that always means the newest runner image
# How the job has the certificate for the lab's engine -> the file that docker wants it in.
PEMS = {"DOCKER_CA_PEM": "ca.pem", "DOCKER_CERT_PEM": "cert.pem", "DOCKER_KEY_PEM": "key.pem"}


def recipes() -> dict[str, Recipe]:
    """The recipe of every image that the lab builds."""
    return {image: recipe() for image, recipe in RECIPES.items()}


def build_all(settings: Settings, out: Path) -> int:
    """Build, scan and push what is new; write the manifest into `out`."""
    registry, how = Registry.of_job(), builder(settings)
    manifest = {}
    allowed = settings.common.unpinned_downloads
    wanted = {
        entry: checksum
        for recipe in recipes().values()
        for entry, checksum in downloads(recipe).items()
    }
    if missing := [
        f for entry, checksum in wanted.items() if (f := unpinned_fault(entry, checksum, allowed))
    ]:
        raise Fault("\n".join(missing))
    with docker_host():
        registry.login()
        for name, recipe in recipes().items():
            tag = version(recipe)
            digest = registry.digest(name, tag)
            if digest is None:
                print(f"{name}:{tag}: building", flush=True)
                make(f"{registry.place}/{name}:{tag}", recipe, how)
                digest = registry.digest(name, tag)
                if digest is None:
                    raise Fault(f"{name}:{tag} was pushed, but the registry does not have it")
            else:
                print(f"{name}:{tag}: is there")
            manifest[name] = _entry(registry, name, tag, digest)
        for name in EVERYBODYS:
            docker("pull", "--quiet", manifest[name]["image"])
        newest, image = registry.digest(*NEWEST), manifest["runner"]["image"]
        if newest != image.rpartition("@")[2]:
            alias = f"{registry.place}/{':'.join(NEWEST)}"
            docker("tag", image, alias)
            docker("push", "--quiet", alias)
            print(f"{':'.join(NEWEST)}: now {image}")
    _write(out, manifest)
    return 0


def record(out: Path) -> None:
    """Write the manifest of what the registry has of these files' images, without building any."""
    registry, manifest = Registry.of_job(), {}
    for name, recipe in recipes().items():
        tag = version(recipe)
        if digest := registry.digest(name, tag):
            manifest[name] = _entry(registry, name, tag, digest)
    _write(out, manifest)


def _entry(registry: "Registry", name: str, tag: str, digest: str) -> dict[str, str]:
    """What settings.images.Pushed reads."""
    return {"version": tag, "image": f"{registry.place}/{name}@{digest}"}


def _write(out: Path, manifest: Mapping[str, Mapping[str, str]]) -> None:
    out.mkdir(exist_ok=True)
    (out / FILE).write_text(json.dumps(manifest, indent=1, sort_keys=True))


@contextmanager
def docker_host() -> Iterator[None]:
    """Give docker the client certificate that the job has in variables, as files."""
    pems = {file: os.environ.get(name, "") for name, file in PEMS.items()}
    with client_certificate(pems) as variables, private_folder() as logins:
        os.environ |= {**variables, "DOCKER_CONFIG": str(logins)}  # which are gone with this job
        yield


@dataclass(frozen=True)
class Registry:
    """A container registry as https://distribution.github.io/distribution/spec/api/ has it.

    Asked by its own API: docker's commands for it want the lab's CA in files of their own. place is
    HOST:PORT/GROUP/PROJECT.
    """

    url: str
    place: str
    username: str
    password: str

    @classmethod
    def of_job(cls) -> "Registry":
        """GitLab's, with the job's login."""
        host = required("CI_REGISTRY")
        scheme = "http" if required("CI_SERVER_URL").startswith("http:") else "https"
        return cls(
            url=f"{scheme}://{host}",
            place=required("CI_REGISTRY_IMAGE"),
            username=required("CI_REGISTRY_USER"),
            password=required("CI_REGISTRY_PASSWORD"),
        )

    def login(self) -> None:
        """Let docker push."""
        host = self.place.partition("/")[0]
        words = ("--username", self.username, "--password-stdin", host)
        docker("login", *words, text=self.password)

    def digest(self, name: str, tag: str) -> str | None:
        """The digest that `name:tag` has there; None where there is none."""
        path = f"{self.place.partition('/')[2]}/{name}".lstrip("/")
        authority = os.environ.get("DATALAB_CA_FILE")
        try:
            with http.client(authority=authority, own=True, base_url=self.url) as client:
                login = (self.username, self.password)
                return registry.digest(client, f"/v2/{path}/manifests/{tag}", login)
        except (httpx.HTTPError, Fault) as error:
            raise Fault(f"the registry at {self.url} failed: {error}") from None


def make(reference: str, recipe: Recipe, how: Builder) -> None:
    """Build an image, look for secrets in it, and push it; Fault names the files that hold one."""
    arguments = {**recipe.base, **how.sources}
    options = [
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        # A build has no /etc/hosts but its own, and no DNS server knows the lab's names.
        *(f"--add-host={host}" for host in how.add_hosts),
        *([f"--network={how.network}"] if how.network else ()),
        *([f"--platform={how.platform}"] if how.platform else ()),
    ]
    dockerfile = recipe.dockerfile or f"{recipe.context}/Dockerfile"
    words = ("--tag", reference, "--file", dockerfile, *options, recipe.context)
    docker("build", *words, show=True)
    if found := scan(reference):
        docker("image", "rm", "--force", reference)
        raise Fault("\n".join([f"{reference} holds secrets and is not pushed:", *found]))
    docker("push", "--quiet", reference)


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
            elif member.size <= LARGEST:
                public = bool(PUBLIC.search(member.name))
                if _secret(reader.read(), known, public=public):
                    yield member.name


def _is_layer(name: str, start: bytes) -> bool:
    # Layers are called layer.tar, or by their digest in the OCI layout.
    inside = name.endswith("layer.tar") or name.startswith("blobs/")
    return inside and (start[257:262] == b"ustar" or start[:2] == b"\x1f\x8b")


def _secret(content: bytes, known: Sequence[bytes], *, public: bool = False) -> bool:
    if any(value in content for value in known):
        return True
    if public:
        return False
    # Programs hold keys for their own tests: libgnutls is in every image that has curl.
    return b"\0" not in content and bool(SECRET.search(content))
