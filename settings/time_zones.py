"""Time zones that the lab's machines and images know."""

import re
import zoneinfo
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Those of no place; the table of places has none of them.
_PLAIN = r"(Etc/)?(UTC|GMT)|Etc/GMT(\+(1[0-2]|[1-9])|-(1[0-4]|[1-9]))"


def fault(zone: str) -> str | None:
    """Why a zone cannot be used; None where it can, or where this machine cannot say.

    Debian 13 and Ubuntu 24.04 have former names, such as US/Eastern, in a package of their own
    (tzdata-legacy). PostgreSQL's image lacks it and does not start with such a name.
    """
    places = _places()
    if not places or zone in places or re.fullmatch(_PLAIN, zone):
        return None
    if now := next(_same(zone, places), None):
        return f"{zone} is a former name that images and machines no longer have; use {now}"
    return f"{zone} is no time zone; use one like Europe/Lisbon"


@cache
def _places() -> dict[str, Path]:
    """The zones of all countries by their current names, each with its file."""
    for folder in map(Path, zoneinfo.TZPATH):
        table = folder / "zone.tab"
        if table.is_file():
            lines = table.read_text(encoding="utf-8").splitlines()
            names = (line.split("\t")[2] for line in lines if not line.startswith("#"))
            return {name: folder / name for name in names}
    return {}


def _same(zone: str, places: dict[str, Path]) -> Iterator[str]:
    """Current names of what `zone` means on this machine."""
    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / zone).is_file():
            rules = (folder / zone).read_bytes()
            yield from (name for name, file in places.items() if file.read_bytes() == rules)
