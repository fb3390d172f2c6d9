"""Where code must not go (docs/contributing.md); test_imports.py has the packages' order."""

import ast
from collections.abc import Iterator
from pathlib import Path

from layers import LAYERS
from tests.lint.test_imports import names
from tests.lint.test_lint import ROOT


def imports(file: Path) -> Iterator[str]:
    """Every module that a file imports, for the checker of types alone too."""
    return names(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def of_layers(file: Path) -> set[str]:
    """The layers whose packages a file imports."""
    return {m.split(".")[1] for m in imports(file) if m.startswith("layers.")} & set(LAYERS)


def test_a_layer_knows_only_outputs_of_another() -> None:
    for layer in LAYERS:
        for file in modules(f"layers/{layer}"):
            assert of_layers(file) <= {layer}, file.relative_to(ROOT)
    for file in (ROOT / "layers").glob("*.py"):
        assert not of_layers(file), file.name


def test_settings_know_no_pulumi() -> None:
    door = ROOT / "settings" / "program.py"
    for file in modules("settings"):
        if file != door:
            assert not [m for m in imports(file) if m.partition("_")[0].startswith("pulumi")], file


def test_configuration_is_read_at_one_door() -> None:
    """No layer or target reads configuration, a stack's name or the environment."""
    for file in (*modules("layers"), *modules("targets")):
        text = file.read_text(encoding="utf-8")
        for word in ("pulumi.Config", "get_stack(", "os.environ", "getenv"):
            assert word not in text, (file.relative_to(ROOT), word)
