"""First half of `./lab`: sets up what the verb needs, then continues in the virtual environment.

Standard library only: it runs on the machine's own Python before anything is installed.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from cli import main as command_line  # noqa: E402 - the line above makes it importable
from toolchain import files, install, preconditions, pulumi_cli  # noqa: E402


def main(arguments: list[str]) -> int:
    """Set up, then run the verb; returns its exit code."""
    needs, _ = command_line.parse(arguments)
    try:
        if needs.requirements:
            preconditions.require(needs.requirements, engine=needs.engine, programs=needs.programs)
            install.ensure_python(needs.requirements)
        if needs.engine:
            pulumi_cli.ensure_pulumi()
    except install.SetupError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if (text := files.explain(error)) is None:
            raise
        print(f"lab: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlab: stopped; the next start goes on from here", file=sys.stderr)
        return 130
    if needs.requirements and Path(sys.prefix) != install.VENV:
        python = str(install.VENV / "bin" / "python")
        os.execv(python, [python, __file__, *arguments])  # noqa: S606 - no shell wanted
    return command_line.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
