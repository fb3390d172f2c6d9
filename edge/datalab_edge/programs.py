"""Programs of others, started with the lake at hand."""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from datalab_edge.credentials import FILE, TEXT, Lake, dump
from datalab_edge.lake import EXTENSIONS, attach_statements, extension_file, quoted

STARTER = Path(__file__).parent / "starter.py"


class MissingError(Exception):
    """A program is not installed."""


def shell(lake: Lake) -> int:
    """DuckDB's shell, of the version that the extensions are for."""
    package = find_spec("duckdb_cli")
    if package is None or package.origin is None:
        raise MissingError("the shell is a package of its own: pip install 'datalab-edge[shell]'")
    program = Path(package.origin).parent / "duckdb"
    loads = [f"LOAD {quoted(str(extension_file(extension)))};" for extension in EXTENSIONS]
    statements = [f"{statement};" for statement in attach_statements(lake, name="datalab-shell")]
    # A file that nobody else can read, and that is gone with the shell.
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as init:
        init.write("\n".join([*loads, *statements, ""]))
        init.flush()
        return subprocess.run([program, "-init", init.name], check=False).returncode


def notebook(lake: Lake, file: Path) -> int:
    """A marimo notebook; a file that is not there begins as one that looks around in the lake."""
    if find_spec("marimo") is None:
        raise MissingError("notebooks are an extra: pip install 'datalab-edge[notebook]'")
    if not file.exists():
        file.write_text(STARTER.read_text())
    environment = {name: value for name, value in os.environ.items() if name != FILE}
    environment[TEXT] = dump(lake)
    command = [sys.executable, "-m", "marimo", "edit", str(file)]
    return subprocess.run(command, env=environment, check=False).returncode
