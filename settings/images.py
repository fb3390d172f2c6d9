"""images.yaml: the one place where the versions of third-party images and downloads stand."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from settings import faults, pins
from settings.base import Model, dotted
from settings.pins import Pin
from settings.stackfile import StackFileError, read_document

PATH = Path(__file__).parent.parent / "images.yaml"
# What `./lab ci` writes into the settings of its checkout, as JSON: the lab's own images that are
# pushed.
PUSHED = "pushedImages"

T = TypeVar("T")
Url = Annotated[str, Field(pattern=r"^https://", examples=["https://HOST/PATH"])]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9A-F]{40}$", examples=["0F" * 20])]


class CatalogueError(Exception):
    """images.yaml has faults; `faults` holds each as `dotted.key: what and what to do`."""

    def __init__(self, *found: str):
        super().__init__("\n".join(f"{PATH.name}: {fault}" for fault in found))
        self.faults = found


class Image(Model):
    """A container image; its digest is in images.sum, under its name with its tag."""

    image: Annotated[
        str,
        Field(pattern=r"^[a-z0-9.-]+(/[a-z0-9._-]+)+$", examples=["docker.io/library/nginx"]),
    ]
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", examples=["1.28.0"])]

    @property
    def name(self) -> str:
        """Its name with its tag."""
        return f"{self.image}:{self.tag}"

    @property
    def reference(self) -> str:
        """What an engine pulls: by tag, and by digest where that is known."""
        digest = sums().get(self.name)
        return f"{self.name}@sha256:{digest}" if digest else self.name


class Signature(Model):
    """A detached OpenPGP signature of a list of sums; it must be by the key of the fingerprint."""

    url: Url
    key_url: Url
    key_fingerprint: Fingerprint


class File(Model):
    """A version's file: where it is, and its SHA-256 in hex, empty where that is not known."""

    url: str
    version: str
    sha256: str


class Download(Model):
    """A file from a vendor; in its addresses {version} and {digits} stand for the version.

    sums is the vendor's list of SHA-256 sums, signature the list's; None where there is none.
    """

    version: str
    url: Url
    sums: Url | None = None
    signature: Signature | None = None

    def at(self, address: str) -> str:
        """One of its addresses, for its version."""
        digits = re.sub(r"[^0-9]", "", self.version)
        return address.replace("{version}", self.version).replace("{digits}", digits)

    @property
    def file(self) -> File:
        """The file of its version."""
        url = self.at(self.url)
        return File(url=url, version=self.version, sha256=sums().get(url, ""))


class Release(Model):
    """Packages that are of one version."""

    packages: tuple[str, ...]
    version: str


class Repository(Model):
    """A signed apt repository and what is taken from it."""

    url: Url
    suite: str
    components: str
    key_url: Url
    key_fingerprint: Fingerprint
    releases: tuple[Release, ...]

    @property
    def source(self) -> dict[str, str]:
        """The repository as Ansible's roles take it."""
        return self.model_dump(exclude={"releases"})

    @property
    def packages(self) -> dict[str, str]:
        """Package to its version."""
        return {name: release.version for release in self.releases for name in release.packages}


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

    def pins(self) -> Iterator[Pin]:
        """What images.sum has a line for, or could have."""
        for name, image in self.images.items():
            yield Pin(entry=f"images.{name}", name=image.name, stem=f"{image.image}:")
        for name, download in self.downloads.items():
            stem = download.url.partition("{")[0]
            yield Pin(entry=f"downloads.{name}", name=download.at(download.url), stem=stem)
        yield from pins.plugins()


def read() -> Catalogue:
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


@cache
def catalogue() -> Catalogue:
    """The same, and images.sum agrees with it; CatalogueError with every fault."""
    found = read()
    if disagreements := tuple(pins.disagreements(PATH, found.pins())):
        raise CatalogueError(*disagreements)
    return found


@cache
def sums() -> Mapping[str, str]:
    """images.sum: name with its version -> SHA-256 in hex."""
    return pins.read(PATH)


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


def download(name: str) -> File:
    """The file of the download called `name` in images.yaml."""
    return entry(catalogue().downloads, "downloads", name).file


def repository(name: str) -> Repository:
    """The package repository called `name` in images.yaml."""
    return entry(catalogue().repositories, "repositories", name)


def pushed(text: str) -> Mapping[str, Pushed]:
    """The images of a manifest, by name."""
    return TypeAdapter(dict[str, Pushed]).validate_json(text)
