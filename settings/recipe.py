"""What is in an image that the lab builds itself."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is in an image; paths are relative to the project.

    parts are what is taken of the context, unless all of it. base maps a build argument to the
    reference of an image that it is built on.
    """

    context: str
    base: Mapping[str, str]
    dockerfile: str = ""  # the context's own, unless said otherwise
    parts: tuple[str, ...] = ()
