"""Folders for secrets on their way into another program: in memory, and gone with their process.

    python toolchain/private.py PROGRAM [ARGUMENT...]

runs a program of this Python's environment with Ansible's temporary files in such a folder: `copy:
content:` writes what it is about to send, keys and passwords included, into a file, and a run that
was killed left it in the checkout (#10). Its sockets are there too: in a checkout with a long path
ssh refused them. Standard library only.
"""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Memory, where the system has such a folder: that of systemd's user, that of every Linux. macOS has
# none. Short, as Ansible puts a socket in, whose path may have 103 characters there.
PLACES = (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm", "/tmp")  # noqa: S108 - checked below


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder that only this user can read; it is removed with all that is in it."""
    folder = _new()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new() -> Path:
    root = _root()
    for left in root.iterdir():
        process = left.name.partition("-")[0]
        if not (process.isdecimal() and _runs(int(process))):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))


def _root() -> Path:
    """The one folder of this user; the process ends where somebody else made it first."""
    place = next(place for place in PLACES if place and os.access(place, os.W_OK | os.X_OK))
    root = Path(place, f"datalab-{os.getuid()}")
    with suppress(FileExistsError):
        root.mkdir(mode=0o700)
    found = root.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or mode & 0o077:
        raise SystemExit(
            f"lab: {root} is not a folder that is yours alone, and secrets are written there for a"
            f" moment. See who made it (ls -ld {root}), remove it and run the same again"
        )
    return root


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user: that number was given again
    return True


def main(program: str, *arguments: str) -> None:
    """Become the program; the folder is removed by the next run."""
    # Earlier versions of the lab had it there, and what killed runs left.
    shutil.rmtree(Path(__file__).parents[1] / ".ansible/tmp", ignore_errors=True)
    folder, path = _new(), Path(sys.executable).with_name(program)
    agent = str(folder / "agent")
    os.environ |= {"ANSIBLE_LOCAL_TEMP": str(folder), "ANSIBLE_SSH_AGENT": agent}
    os.environ.setdefault("ANSIBLE_SSH_CONTROL_PATH_DIR", str(folder))
    # An agent that was given a command ends with it, however that ends. The agent that Ansible
    # itself starts with `ssh_agent = auto` stays, with the machines' key, where Ansible is killed.
    try:
        os.execvp("ssh-agent", ("ssh-agent", "-a", agent, str(path), *arguments))  # noqa: S606
    except FileNotFoundError:
        raise SystemExit("lab: ssh-agent is missing: apt install openssh-client") from None


if __name__ == "__main__":
    main(*sys.argv[1:])
