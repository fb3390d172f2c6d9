"""What only root may do on this machine: as root, else by sudo, which asks for its password."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cli.lib.fault import Fault

# The new file is there whole before it takes the old one's name, mode and owner.
WRITE = """
set -e
new="$1.datalab"
trap 'rm -f "$new"' EXIT
if [ -e "$1" ]; then
    cp -p "$1" "$new"
else
    mkdir -p "$(dirname "$1")"
    : >"$new"
    chmod 644 "$new"
fi
cat >"$new"
mv "$new" "$1"
"""


def write(target: Path, content: bytes) -> None:
    """Replace a file at once; Fault with what went wrong, and then it is as it was."""
    target = target.resolve()
    run(["sh", "-c", WRITE, "sh", str(target)], f"write {target}", content)


def run(command: Sequence[str], what: str, content: bytes = b"") -> None:
    """Run a command as root, `content` on its standard input; Fault where it fails."""
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise Fault(f"only root may {what}, and there is no sudo here: run this as root")
        command = ["sudo", *command]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise Fault(f"cannot {what}: {said or shlex.join(command)}")
