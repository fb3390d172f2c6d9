"""What a set-up shares, and its first part: the virtual environment.

Writes only to the checkout and to one cache folder. What is finished is marked last, so that
an interrupted set-up goes on where it stopped. Standard library only.
"""

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain import files, lock, moved, pip_config, progress
from toolchain.files import replace

ROOT = files.ROOT
VENV = ROOT / ".venv"
BAKED = Path("/opt/datalab/venv")  # of images/deployer, for the checkouts of jobs
RUN = "requirements.txt"
TESTS = "tests/requirements.txt"  # holds everything of RUN
UV = ROOT / "toolchain" / "requirements-uv.txt"
HALF = ".unfinished"  # in an environment that is being changed


class SetupError(Exception):
    """The machine lacks something; the text says what and how to get it."""


def cache_folder() -> Path:
    """The one folder outside the checkout: `$XDG_CACHE_HOME/datalab` or `~/.cache/datalab`."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else Path.home() / ".cache") / "datalab"


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Let one set-up of `name` run at a time on this machine."""
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        (cache_folder() / f"{name}.lock").touch()
    except OSError as error:
        raise SetupError(
            f"{cache_folder()} cannot be written ({error.strerror}): set XDG_CACHE_HOME to the "
            "path of a folder that can"
        ) from None
    with lock.held(cache_folder() / f"{name}.lock"):
        yield


def checkout() -> str:
    """A short name of this checkout, for what it has of its own in the cache folder."""
    return hashlib.sha256(bytes(VENV)).hexdigest()[:12]


def log_file(name: str) -> Path:
    """Where the output of a step of this checkout's set-up is kept."""
    return cache_folder() / "log" / f"{name}-{checkout()}.log"


def stamp_of(requirements: str) -> str:
    """What a finished environment depends on; it cannot be moved, so its path is in it."""
    place = BAKED if linked() else VENV
    return f"{hashlib.sha256((ROOT / requirements).read_bytes()).hexdigest()} {place}"


def linked() -> bool:
    """Whether `.venv` is the image's own environment."""
    return VENV.is_symlink() and VENV.readlink() == BAKED


def stamp_file(requirements: str) -> Path:
    """The mark of a finished installation, inside the environment it is about."""
    return VENV / f".{requirements.replace('/', '-')}.installed"


def python_ready(requirements: str) -> bool:
    """Whether `.venv` holds exactly what the requirements file says."""
    try:
        finished = stamp_file(requirements).read_text() == stamp_of(requirements)
        return finished and not (VENV / HALF).exists()
    except FileNotFoundError:
        return False


def ensure_python(requirements: str) -> None:
    """Make `.venv` and install the hashed `requirements` into it, with the user's own pip index."""
    if python_ready(requirements):
        return
    # Of this checkout alone: others may make theirs meanwhile.
    with exclusive(f"venv-{checkout()}"):
        if python_ready(requirements):
            return
        if BAKED.is_dir() and not VENV.exists() and not VENV.is_symlink():
            VENV.symlink_to(BAKED)
            if python_ready(requirements):
                return
        try:
            fill(requirements)
        except OSError as error:
            if error.errno in files.FULL and not python_ready(RUN):
                shutil.rmtree(VENV, ignore_errors=True)  # else the disk stays full
            raise


def fill(requirements: str) -> None:
    """Make `.venv` where there is none, and let it hold what the requirements say and no more."""
    make_environment()
    if python_ready(requirements):  # it was moved only
        return
    if stamp_file(TESTS).exists():  # the tests run in this checkout, maybe now
        requirements = TESTS
    python, uv = VENV / "bin" / "python", VENV / "bin" / "uv"
    (VENV / HALF).touch()
    with whole_unless_begun():
        progress.run(
            "uv, which installs the other packages",
            [
                python,
                *("-m", "pip", "install", "--require-hashes", "--only-binary", "uv", "--no-input"),
                *("--disable-pip-version-check", "--progress-bar", "off", "-r", str(UV)),
            ],
            log=log_file("pip"),
            into=VENV,
            env={"PIP_CACHE_DIR": str(cache_folder() / "pip"), **os.environ},
        )
    variables, options = pip_config.uv_environment(python)
    with whole_unless_begun():
        progress.run(
            f"Python packages of {requirements}",
            [
                uv,
                *("pip", "sync", "--python", str(python), "--require-hashes"),
                # Without, the first start of each verb compiles for seconds, and so does a job's.
                *("--compile-bytecode", *options, str(ROOT / requirements)),
            ],
            log=log_file("uv"),
            into=VENV,
            counted=r"^ \+ ",
            env={"UV_CACHE_DIR": str(cache_folder() / "uv"), **variables},
        )
    for name in {requirements, RUN}:
        replace(stamp_file(name), stamp_of(name).encode())
    (VENV / HALF).unlink()


@contextmanager
def whole_unless_begun() -> Iterator[None]:
    """SetupError for a step that failed; the environment is whole where it had changed nothing."""
    (packages,) = VENV.glob("lib/*/site-packages")
    before = packages.stat().st_mtime_ns
    try:
        yield
    except progress.CommandError as error:
        if packages.stat().st_mtime_ns == before:
            (VENV / HALF).unlink()
        hint = "Is the package index of your pip configuration reachable?"
        if "No matching distribution found for uv" in str(error):
            hint = (
                f"Your package index has no such uv for this machine ({platform.system()} "
                f"{platform.machine()}), and uv installs all other packages"
            )
        raise SetupError(f"{error}\n{hint}") from None


def can_make_environments() -> bool:
    """Whether this Python has what Debian splits off into python3-venv."""
    return all(importlib.util.find_spec(name) for name in ("ensurepip", "venv"))


def runs(command: list[str | Path]) -> bool:
    """Whether a command can be started and ends well."""
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def make_environment() -> None:
    """Create `.venv`, or again where it is broken or was left half done.

    Its scripts hold its path, so that it cannot be made elsewhere and moved; HALF marks it instead.
    """
    if linked():  # it is of other requirements than these
        VENV.unlink()
    if VENV.is_symlink():
        raise SetupError(
            f"{VENV} is a link to {VENV.readlink()}, which may be another checkout's; ./lab makes "
            f"a folder of its own there. Remove the link: rm {shlex.quote(str(VENV))}"
        )
    probe: list[str | Path] = [
        VENV / "bin" / "python",
        "-c",
        "import pip, sys; sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)",
    ]
    half = (VENV / HALF).exists()
    if not half and (VENV / "pyvenv.cfg").exists() and runs(probe):
        moved.follow(VENV)
        return
    base = Path(sys.base_prefix) / "bin" / "python3"
    python = base if base.exists() else Path(sys.executable)
    old = VENV.with_name(".venv.old")
    if old.exists():  # a start was interrupted here
        shutil.rmtree(old)
    if VENV.exists():
        VENV.rename(old)  # at once: half a deleted environment could look whole
        shutil.rmtree(old)
    VENV.mkdir()
    (VENV / HALF).touch()
    progress.run(
        "virtual environment .venv",
        [python, "-m", "venv", VENV],
        log=log_file("venv"),
        into=VENV,
    )
