"""Settings that every layer of an environment shares."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field

from settings.base import Domain, Folder, Model
from settings.declarations import FIXED
from settings.target import Target

# Where ./lab keeps the state of an environment.
STATE_FOLDERS = (PurePath(".state/dev"), PurePath(".state/lab"))


def generation(generations: Mapping[str, int], name: str) -> int:
    """Which generation of the secret `name` the settings want; they need not name a first one."""
    return generations.get(name, 1)


class Rescue(Model):
    """Where the foundation's state is copied after every `up`, apart from its backend."""

    path: Folder = Field(
        default=PurePath(".state/rescue"),
        description="Folder; relative to the project, or with ~ for your home",
    )


class Certificates(Model):
    """Lifetimes of the lab's CA and the certificates that it signs."""

    # 20 years: the CA must outlive any machine that trusts it; a home lab has no second root.
    ca_days: int = Field(default=3650, ge=365, le=7300, description="Life of the CA")
    # 825 days is the most that Apple's systems accept from a private CA (HT210176).
    leaf_days: int = Field(
        default=397,
        ge=30,
        le=825,
        description="Life of a certificate; Apple's systems accept no more than 825 days",
    )
    renew_days: int = Field(default=30, ge=7, le=90, description="`up` renews this long before")


class Common(Model):
    """What all four layers share."""

    target: Target = Field(
        description="What the lab runs on: this machine's Docker engine, or a Proxmox VE node"
    )
    # Names made of it have at most 255 characters: apt's lists of what comes through the cache
    # (NAME_MAX; "File name too long"), with Docker before 27 the lab's images in GitLab's registry.
    domain: Annotated[Domain, Field(max_length=99)] = Field(
        default="lab.home.arpa", description="RFC 8375: home.arpa is for homes"
    )
    timezone: str = Field(
        default="Etc/UTC",
        pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$",
        max_length=64,
        examples=["Europe/Lisbon"],
        description="Time zone of machines and schedules",
    )
    region: str = Field(
        default="eu-west-1",
        # What MinIO (validRegionRegex) and AWS's SDKs (a host's label; botocore, utils.py) take.
        pattern=r"^[a-zA-Z][a-zA-Z0-9-]{0,61}[a-zA-Z0-9]$",
        examples=["eu-west-1", "home"],
        description="S3 region; one string for the store and every client, or signatures differ",
    )
    protect: bool = Field(
        default=True, description="Whether what holds data is protected from deletion"
    )
    trust_path: Folder = Field(
        default=PurePath(".state"),
        description="Folder for the lab CA's certificate, which some providers read as a file",
    )
    unpinned_downloads: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="What `up` does with a download (a machine's image, its programs, what the "
        "deployer's image installs) that has no checksum in images.sum",
    )
    rescue: Rescue = Rescue()
    certificates: Certificates = Certificates()
    generations: dict[str, Annotated[int, Field(ge=1, le=10_000)]] = Field(
        default={},
        max_length=1000,
        description="Which generation of a generated secret is in use, by its name; not of "
        + " and ".join(FIXED),
    )
