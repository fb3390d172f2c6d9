"""HashiCorp's Vault, built from its Go module: ten minutes on two cores, once. For tests only."""

import os
import subprocess
import tempfile
from pathlib import Path

from tests.harness.machine import CACHE

MODULE = Path(__file__).parent / "vault_module"
PROGRAM = CACHE / "vault-1.21.1" / "vault"


def vault() -> Path:
    """The program; built where the cache does not have it."""
    if not PROGRAM.exists():
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=PROGRAM.parent) as folder:
            for source in MODULE.glob("*.txt"):
                (Path(folder) / source.stem).write_text(source.read_text())
            for command in (
                ["go", "mod", "tidy"],
                ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", "vault", "."],
            ):
                variables = {**os.environ, "CGO_ENABLED": "0"}
                subprocess.run(command, cwd=folder, env=variables, check=True)
            (Path(folder) / "vault").rename(PROGRAM)
    return PROGRAM
