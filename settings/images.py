"""images.yaml: the one place where the versions of third-party images and downloads stand."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, TypeAdapter

from settings.base import Model

PATH = Path(__file__).parent.parent / "images.yaml"
# Set by `./lab ci`: the manifest, a file that says which of the lab's own images are pushed.
MANIFEST = "DATALAB_IMAGES"


class Image(Model):
    """A container image; an empty digest is not known yet."""

    image: Annotated[str, Field(pattern=r"^[a-z0-9.-]+(/[a-z0-9._-]+)+$")]
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]

    @property
    def reference(self) -> str:
        """What an engine pulls: by tag, and by digest where that is known."""
        return f"{self.image}:{self.tag}" + (f"@{self.digest}" if self.digest else "")


class Download(Model):
    """A file from a vendor; an empty checksum is not known yet.

    sums is the address of the vendor's list of SHA-256 sums, empty where there is none.
    """

    url: Annotated[str, Field(pattern=r"^https://")]
    version: str
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    sums: Annotated[str, Field(pattern=r"^(https://.*)?$")] = ""


class Repository(Model):
    """A signed apt repository; packages maps a package to its version."""

    url: Annotated[str, Field(pattern=r"^https://")]
    suite: str
    components: str
    key_url: Annotated[str, Field(pattern=r"^https://")]
    key_fingerprint: Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")]
    packages: dict[str, str]

    @property
    def source(self) -> dict[str, str]:
        """The repository as Ansible's roles take it."""
        return self.model_dump(exclude={"packages"})


class Pushed(Model):
    """An image of the lab's own in its registry: the version of its files, and it by digest."""

    version: str
    image: Annotated[str, Field(pattern=r"^[^@]+@sha256:[0-9a-f]{64}$")]

    @property
    def digest(self) -> str:
        """The image's digest."""
        return self.image.rpartition("@")[2]


class Catalogue(Model):
    """Everything in images.yaml, by name."""

    images: dict[str, Image]
    downloads: dict[str, Download]
    repositories: dict[str, Repository]


@cache
def catalogue() -> Catalogue:
    """images.yaml of this checkout."""
    return Catalogue.model_validate(yaml.safe_load(PATH.read_text(encoding="utf-8")))


def image(name: str) -> str:
    """The reference of the image called `name` in images.yaml."""
    return catalogue().images[name].reference


def download(name: str) -> dict[str, str]:
    """The download called `name` in images.yaml, as Ansible's roles take it."""
    return catalogue().downloads[name].model_dump()


def repository(name: str) -> Repository:
    """The package repository called `name` in images.yaml."""
    return catalogue().repositories[name]


def pushed() -> Mapping[str, Pushed]:
    """The manifest's images by name; empty outside of pipelines, which build what they run."""
    path = os.environ.get(MANIFEST)
    if not path or not Path(path).exists():
        return {}
    text = Path(path).read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Pushed]).validate_json(text)
