"""A layer is previewed and deployed when a file changes that its program is made of."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from layers import LAYERS

ROOT = Path(__file__).parents[2]
LISTED = """
import importlib, pkgutil, sys
from pathlib import Path
import __main__
package = importlib.import_module("layers." + sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
for module in list(sys.modules.values()):
    file = Path(getattr(module, "__file__", None) or "/")
    if file.is_relative_to(Path.cwd()) and ".venv" not in file.parts:
        print(file.relative_to(Path.cwd()))
"""


def covered(layer: str) -> set[str]:
    """The repository's files that `.ci/deploy.yml` counts as changes of the layer."""
    documents = yaml.safe_load_all((ROOT / ".ci/deploy.yml").read_text())
    *_, pipeline = documents
    globs: list[str] = pipeline[".changes"][layer]
    return {
        str(path.relative_to(ROOT))
        for glob in globs
        for each in braces(glob)
        for path in ROOT.glob(each)
        if path.is_file()
    }


def braces(glob: str) -> list[str]:
    """`{a,b}/c` as `a/c` and `b/c`."""
    start, opened, rest = glob.partition("{")
    if not opened:
        return [glob]
    inner, _, end = rest.partition("}")
    return [each for part in inner.split(",") for each in braces(f"{start}{part}{end}")]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.slow
def test_every_module_of_a_layer_counts_as_its_change(layer: str) -> None:
    """provision/specs.py has the grammar of the settings, and no foundation was previewed."""
    found = subprocess.run(
        [sys.executable, "-c", LISTED, layer], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert f"layers/{layer}/__init__.py" in found
    assert set(found) - covered(layer) == set()
