"""images.yaml: the one place where the versions of third-party images and downloads stand."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from settings import faults
from settings.base import Model, dotted
from settings.stackfile import StackFileError, read_document

PATH = Path(__file__).parent.parent / "images.yaml"
# Set by `./lab ci`: the manifest, a file that says which of the lab's own images are pushed.
MANIFEST = "DATALAB_IMAGES"

T = TypeVar("T")


class CatalogueError(Exception):
    """images.yaml has faults; `faults` holds each as `dotted.key: what and what to do`."""

    def __init__(self, *found: str):
        super().__init__("\n".join(f"{PATH.name}: {fault}" for fault in found))
        self.faults = found


class Image(Model):
    """A container image; an empty digest is not known yet."""

    image: Annotated[
        str,
        Field(pattern=r"^[a-z0-9.-]+(/[a-z0-9._-]+)+$", examples=["docker.io/library/nginx"]),
    ]
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", examples=["1.28.0"])]
    digest: Annotated[
        str,
        Field(pattern=r"^(sha256:[0-9a-f]{64})?$", examples=["sha256:" + "0f" * 32]),
    ]

    @property
    def reference(self) -> str:
        """What an engine pulls: by tag, and by digest where that is known."""
        return f"{self.image}:{self.tag}" + (f"@{self.digest}" if self.digest else "")


class Download(Model):
    """A file from a vendor; an empty checksum is not known yet.

    sums is the address of the vendor's list of SHA-256 sums, empty where there is none.
    """

    url: Annotated[str, Field(pattern=r"^https://", examples=["https://HOST/PATH"])]
    version: str
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$", examples=["0f" * 32])]
    sums: Annotated[
        str, Field(pattern=r"^(https://.*)?$", examples=["https://HOST/SHA256SUMS"])
    ] = ""


class Repository(Model):
    """A signed apt repository; packages maps a package to its version."""

    url: Annotated[str, Field(pattern=r"^https://", examples=["https://HOST/PATH"])]
    suite: str
    components: str
    key_url: Annotated[str, Field(pattern=r"^https://", examples=["https://HOST/key.asc"])]
    key_fingerprint: Annotated[str, Field(pattern=r"^[0-9A-F]{40}$", examples=["0F" * 20])]
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
    """images.yaml of this checkout; CatalogueError with every fault."""
    try:
        return Catalogue.model_validate(read_document(PATH))
    except StackFileError as error:
        raise CatalogueError(str(error)) from None
    except ValidationError as error:
        found = faults.explain(error, Catalogue.model_json_schema())
        # What has no place is about the whole file.
        raise CatalogueError(
            *(": ".join(filter(None, (dotted(place), text))) for place, text in found)
        ) from None


def entry(section: Mapping[str, T], kind: str, name: str) -> T:
    """What the lab needs of a section of images.yaml; CatalogueError where it is missing."""
    if name not in section:
        raise CatalogueError(
            f"{dotted((kind, name))}: is missing; {faults.suggestion(name, sorted(section))}"
        )
    return section[name]


def image(name: str) -> str:
    """The reference of the image called `name` in images.yaml."""
    return entry(catalogue().images, "images", name).reference


def download(name: str) -> dict[str, str]:
    """The download called `name` in images.yaml, as Ansible's roles take it."""
    return entry(catalogue().downloads, "downloads", name).model_dump()


def repository(name: str) -> Repository:
    """The package repository called `name` in images.yaml."""
    return entry(catalogue().repositories, "repositories", name)


def pushed() -> Mapping[str, Pushed]:
    """The manifest's images by name; empty outside of pipelines, which build what they run."""
    path = os.environ.get(MANIFEST)
    if not path or not Path(path).exists():
        return {}
    text = Path(path).read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Pushed]).validate_json(text)
