"""The program of an earlier commit, and that of the checkout, in one folder of the rehearsal.

Both run in the same folder, one after the other: a path that a resource was given would else be a
difference between them.
"""

import os
import shutil
import subprocess
from pathlib import Path

from cli.lib.fault import Fault
from toolchain import install


def commit(ref: str) -> str:
    """The full name of a commit; Fault in one line where git does not know it."""
    unknown = (
        f"there is no commit {ref!r} here: `git log` lists what there is, `git fetch --tags` "
        "brings more (in a shallow clone `git fetch --unshallow`)"
    )
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return _git(*words, or_else=unknown).strip()


def unpack(name: str, program: Path) -> None:
    """Fill `program`, an empty folder, with the files of a commit."""
    index = program.with_suffix(".index")  # of its own: the checkout's stays as it is
    _git("read-tree", name, index=index)
    _git("checkout-index", "--all", f"--prefix={program}/", index=index)


def follow(program: Path) -> None:
    """Replace what is in `program` by the checkout's files: what git knows or would take."""
    shutil.rmtree(program)
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        source, target = install.ROOT / name, program / name
        if source.is_file() or source.is_symlink():  # else deleted, and not committed yet
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def _git(*arguments: str, index: Path | None = None, or_else: str = "") -> str:
    environment = os.environ | ({"GIT_INDEX_FILE": str(index)} if index else {})
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=install.ROOT, env=environment, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise Fault("--from needs git, which is not installed: apt install git", 2) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        if "not a git repository" in said:
            said = f"--from needs git's history, and {install.ROOT} has none: clone the repository"
        raise Fault((said or or_else or f"git {arguments[0]} failed").splitlines()[0], 2)
    return done.stdout.decode(errors="surrogateescape")
