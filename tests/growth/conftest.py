"""A copy of the checkout to which something is added."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rehearsal import earlier

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Copy:
    """The copy; `touched` are the files that were written by hand."""

    root: Path
    touched: tuple[str, ...]

    def lab(self, *words: str) -> str:
        """What `./lab` prints there, which itself would first install its Python packages."""
        return self.python("-c", LAB, *words)

    def python(self, *words: str) -> str:
        """What a program prints there; an assertion with all of it where it fails."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def answers(self, code: str) -> Any:
        """What an expression is there, by way of JSON; see PRELUDE for its names."""
        return json.loads(self.python("-c", f"{PRELUDE}\nprint(json.dumps({code}))"))


LAB = "import sys; from cli.main import main; sys.exit(main(sys.argv[1:]))"
PRELUDE = """
import json
from dataclasses import asdict
from cli.ci import probe
from layers.services.gateway import configuration, start_page
from settings import containers, load_file, names
from settings.budget import budget
from settings.declarations import RENEWABLE
from pathlib import Path
dev, lab = (load_file(Path(f"Pulumi.{env}.yaml")) for env in ("dev", "lab"))
"""


def grown(example: str, folder: Path) -> Copy:
    """A copy of the checkout in `folder` with the files of examples/`example` added.

    A file that there is already gets the example's lines.
    """
    earlier.follow(folder)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    added = ROOT / "examples" / example
    touched = tuple(
        str(file.relative_to(added)) for file in sorted(added.rglob("*.*")) if file.is_file()
    )
    for name in touched:
        if (folder / name).exists():
            add_lines(folder / name, (added / name).read_text())
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(added / name, folder / name)
    return Copy(folder, touched)


def add_lines(file: Path, text: str) -> None:
    """Add lines of YAML to a file below the keys above them, which it has."""
    there = file.read_text().splitlines(keepends=True)
    added = text.splitlines(keepends=True)
    last = max(number for number, line in enumerate(added) if line in there)
    at = there.index(added[last]) + 1
    file.write_text("".join([*there[:at], *added[last + 1 :], *there[at:]]))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """With Redis in layer 3."""
    return grown("new-service", tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """With a web application in layer 4."""
    return grown("new-application", tmp_path_factory.mktemp("application"))
