"""What each image in images/from-packages keeps to, and by what name an engine has it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from settings import images

# A name that no registry can have (RFC 2606): an image that is missing is never taken from a
# stranger, and what the vendor made keeps its own name for other projects on the same engine.
PREFIX = "from-packages.invalid"
FOLDER = images.PATH.parent / "images" / "from-packages"
LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class Config:
    """What `docker image inspect` says of the vendor's image. None: the image may have anything."""

    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...]
    user: str
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    environment: Mapping[str, str]
    stop_signal: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Contract:
    """An image of ours: the names in images.yaml that it stands for, and what it has of theirs.

    read says where the vendor's contract was read, differs what this image does otherwise. users
    are names with their numbers; tools are what entry points and health checks may call. stands_in
    says what it is where the vendor's own program cannot be made from packages; else it is empty.
    """

    name: str
    of: tuple[str, ...]
    read: tuple[str, ...]
    config: Config
    users: Mapping[str, int]
    tools: tuple[str, ...]
    differs: tuple[str, ...]
    stands_in: str
    programs: Mapping[str, Mapping[str, str]]

    @property
    def folder(self) -> Path:
        """Where its Dockerfile is."""
        return FOLDER / self.name

    @property
    def base(self) -> str:
        """The suite of Debian that it is made of."""
        first = (self.folder / "Dockerfile").read_text().splitlines()[0]
        return first.removeprefix(f"FROM {PREFIX}/debian:")

    @property
    def reference(self) -> str:
        """Its name with a version: a hash of all files that say what is in it."""
        found = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                found.update(f"{path.relative_to(self.folder)}\0".encode() + path.read_bytes())
        for name in self.of:
            found.update(images.catalogue().images[name].tag.encode())
        return f"{PREFIX}/{self.name}:{found.hexdigest()[:LENGTH]}"


@cache
def contracts() -> Mapping[str, Contract]:
    """Name of a vendor's image in images.yaml -> the image that stands for it."""
    found = {}
    for file in sorted(FOLDER.glob("*/contract.yaml")):
        made = _contract(file.parent.name, yaml.safe_load(file.read_text(encoding="utf-8")))
        found.update(dict.fromkeys(made.of, made))
    return found


def stand_in(reference: str) -> str:
    """What stands for a vendor's image, which keeps its own reference where nothing does."""
    known = images.catalogue().images
    for name, contract in contracts().items():
        if reference == known[name].reference:
            return contract.reference
    return reference


def _contract(name: str, row: Mapping[str, Any]) -> Contract:
    lists = {key: tuple(row[key] or ()) for key in ("of", "read", "tools", "differs")}
    config: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in row["config"].items()
    }
    return Contract(
        name=name,
        config=Config(**config),
        users=row["users"],
        stands_in=row.get("stands_in") or "",
        programs=row.get("programs") or {},
        **lists,
    )
