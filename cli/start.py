"""First half of `./lab`: sets up what the verb needs, then continues in the virtual environment.

Standard library only: it runs on the machine's own Python before anything is installed.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from cli import main as command_line  # noqa: E402 - the line above makes it importable
from cli.lib.command import Verb  # noqa: E402
from toolchain import install, obtain, preconditions  # noqa: E402


def set_up(verb: Verb) -> None:
    """Have what the verb needs; where this is not the virtual environment, start again there."""
    if verb.requirements:
        preconditions.require(verb.requirements, engine=verb.engine, programs=verb.programs)
        install.ensure_python(verb.requirements)
    if verb.engine:
        obtain.ensure_pulumi()
    if verb.requirements and Path(sys.prefix) != install.VENV:
        python = str(install.VENV / "bin" / "python")
        os.execv(python, [python, __file__, *sys.argv[1:]])  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv[1:], set_up))
