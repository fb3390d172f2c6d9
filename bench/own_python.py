"""Runs a benchmark with the checkout's own Python; to be imported before anything else."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"
if Path(sys.prefix) != PYTHON.parent.parent:
    if not PYTHON.exists():
        sys.exit(f"{sys.argv[0]}: there is no .venv yet: run ./lab doctor first")
    os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606 - no shell wanted
sys.path.insert(0, str(ROOT))
