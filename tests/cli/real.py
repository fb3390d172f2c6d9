"""A checkout of its own whose `./lab` runs the real engine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from settings import ENVIRONMENTS
from tests.harness.patched import sample_file

ROOT = Path(__file__).parents[2]
PARTS = ("apps", "cli", "images", "layers", "provision", "settings", "targets", "toolchain")
# Its program needs neither engine nor plugins, which ./lab looks for before Pulumi starts.
CODE = """
import sys
from cli.lib import reach
from cli.main import main
reach.require = lambda *_: None
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class RealCheckout:
    """Copies of what `./lab` reads, linked code, and a project whose program is tiny."""

    root: Path
    variables: dict[str, str]

    def lab(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run `./lab WORDS` as a process that has no terminal."""
        return subprocess.run(
            [sys.executable, "-c", CODE, *words],
            cwd=self.root,
            env=self.variables,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )


def checkout(folder: Path, environment: Mapping[str, str], program: str) -> RealCheckout:
    """Make one in `folder`; `program` is its __main__.py."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (ROOT / "Pulumi.yaml", *map(sample_file, ENVIRONMENTS)):
        shutil.copy(file, folder)
    shutil.copytree(ROOT / "stacks", folder / "stacks", symlinks=True)
    # Without images.sum: engines of tests have no registry, and so no image by its digest.
    for name in ("images.yaml", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    (folder / "__main__.py").write_text(program)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    unwanted = ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "AWS_")
    kept = {name: value for name, value in environment.items() if not name.startswith(unwanted)}
    variables = {**kept, "PULUMI_HOME": str(folder / "home"), "PYTHONPATH": str(folder)}
    return RealCheckout(folder, {**variables, "NO_PROXY": "*", "PIP_CONFIG_FILE": os.devnull})
