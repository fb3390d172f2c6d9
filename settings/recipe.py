"""What is in an image that the lab builds itself."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is in an image; paths are relative to the project.

    parts are what is taken of the context, unless all of it. base maps a build argument to what it
    is built from: an image's reference, the address or checksum of a download.
    """

    context: str
    base: Mapping[str, str]
    dockerfile: str = ""  # the context's own, unless said otherwise
    parts: tuple[str, ...] = ()
