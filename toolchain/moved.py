"""Lets a virtual environment that was moved, or copied with its checkout, know its path."""

import os
import re
from pathlib import Path

from toolchain.files import replace

# What pip writes for a path with blanks, or too long for the kernel.
SCRIPT = b"""#!/bin/sh
'''exec' "%s" "$0" "$@"
' '''"""


def follow(venv: Path) -> None:
    """Correct the path in the scripts and settings of `venv`; its marks, which say it, last.

    Nothing else in it holds its path, and installing again costs minutes and 600 MB.
    """
    for stamp in venv.glob(".*.installed"):
        digest, _, old = stamp.read_text().partition(" ")
        if old == str(venv):
            continue
        # Not where it is the end of the new path already, should an earlier try have been killed.
        known = re.compile(rb"(?<![\w./-])" + re.escape(os.fsencode(old)) + rb"(?![\w.-])")
        for file in (venv / "pyvenv.cfg", *sorted((venv / "bin").iterdir())):
            if not file.is_symlink() and file.is_file():
                before = file.read_bytes()
                first, end, rest = before.partition(b"\n")
                if first.startswith(b"#!") and known.search(first):
                    first = SCRIPT % os.fsencode(venv / "bin" / Path(os.fsdecode(first)).name)
                after = known.sub(lambda _: os.fsencode(venv), first + end + rest)
                if after != before:
                    replace(file, after, file.stat().st_mode & 0o777)
        replace(stamp, f"{digest} {venv}".encode())
