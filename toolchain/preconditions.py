"""What a machine must have before anything is set up: all that is missing, said at once.

Standard library only.
"""

import errno
import os
import platform
import shlex
import shutil
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from toolchain import install, obtain, pulumi_cli
from toolchain.install import SetupError

# GB, measured: .venv with uv's cache, for the programs or for the tests; Pulumi's own sources while
# it is built, which are deleted.
VENV_GB = {install.RUN: 0.8, install.TESTS: 1.3}
BUILD_GB = 4.0
SAVED_GB = 3.5  # where its official release can be had instead


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Something that is missing, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def require(requirements: str, *, engine: bool, programs: Iterable[str] = ()) -> None:
    """SetupError with everything that is missing for a verb, each with its remedy."""
    found = list(missing(requirements, engine=engine, programs=programs))
    if found:
        raise SetupError("\n     ".join(map(str, found)))


def missing(requirements: str, *, engine: bool, programs: Iterable[str]) -> Iterator[Lack]:
    """Each thing that is missing, with its remedy."""
    venv = bool(requirements) and not install.python_ready(requirements)
    pulumi = engine and not pulumi_cli.complete(pulumi_cli.find_pulumi())
    lacking = packages(venv=venv, fetches=venv or pulumi, programs=programs)
    if lacking:
        yield Lack(
            what=f"{', '.join(lacking)} missing",
            remedy=f"Debian and Ubuntu: apt install {' '.join(lacking)}",
        )
    if pulumi and obtain.release() is None and obtain.new_go() is None:
        yield Lack(what="neither Pulumi >= 3.257 nor Go >= 1.21 found", remedy=obtain.HOW)
    if venv or pulumi:
        yield from folders(venv=venv)
    new = venv and not (install.VENV / "pyvenv.cfg").exists()
    yield from room(VENV_GB[requirements] if new else 0, BUILD_GB if pulumi else 0)


def packages(*, venv: bool, fetches: bool, programs: Iterable[str]) -> list[str]:
    """Debian packages that must be installed, by their names."""
    found = [] if install.can_make_environments() or not venv else ["python3-venv"]
    found += [name for name in programs if shutil.which(name) is None]
    # Python of Debian and Go look in the same places; pip brings its own.
    authorities = ssl.get_default_verify_paths()  # what is there, SSL_CERT_FILE included
    folder = Path(authorities.capath or "/nonexistent")
    if fetches and not authorities.cafile and not (folder.is_dir() and any(folder.iterdir())):
        found += ["ca-certificates"] if platform.system() == "Linux" else []
    return found


def folders(*, venv: bool) -> Iterator[Lack]:
    """Folders that cannot be written and must be."""
    other = f"make it writable for you, or: git clone {shlex.quote(str(install.ROOT))} FOLDER"
    remedies = {
        **({install.ROOT: other} if venv else {}),
        install.cache_folder(): "set XDG_CACHE_HOME to the path of a folder that can",
    }
    for place, remedy in remedies.items():
        there = existing(place)
        if not os.access(there, os.W_OK):
            read_only = os.statvfs(there).f_flag & os.ST_RDONLY
            why = os.strerror(errno.EROFS if read_only else errno.EACCES)
            yield Lack(what=f"{place} cannot be written ({why})", remedy=remedy)


def existing(place: Path) -> Path:
    """A folder, or the first above it that is there."""
    return next(each for each in (place, *place.parents) if os.access(each, os.F_OK))


def room(venv_gb: float, cache_gb: float) -> Iterator[Lack]:
    """Too little space, by file system."""
    wanted: dict[int, tuple[Path, float]] = {}
    for place, size in ((install.ROOT, venv_gb), (install.cache_folder(), cache_gb)):
        there = existing(place)
        device = there.stat().st_dev
        first, sum_gb = wanted.get(device, (there, 0.0))
        wanted[device] = (first, sum_gb + size)
    for place, size in wanted.values():
        free = shutil.disk_usage(place).free / 1e9
        if free < size and not (cache_gb and free > size - SAVED_GB and obtain.reachable()):
            yield Lack(
                what=f"{place}: {free:.1f} GB free, {size:.1f} GB needed",
                remedy="free some, or set XDG_CACHE_HOME to a folder of another disk",
            )
