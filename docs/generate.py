"""Writes the pages of docs/ that are made from the code: `python -m docs.generate`.

A new page is a row in PAGES; tests/docs/test_generated.py proves that all of them are current.
"""

import importlib
from pathlib import Path

FOLDER = Path(__file__).parent
# File -> the function, as "module:function", that returns its text.
PAGES = {
    "commands.md": "docs.commands:page",
    "images.md": "docs.resources:images",
    "rehearsal.md": "rehearsal.refusals:page",
    "resources.md": "docs.resources:page",
    "settings.md": "docs.settings:page",
    "settings.schema.json": "docs.settings:json_schema",
}


def text(name: str) -> str:
    """What the page should hold."""
    module, _, function = PAGES[name].partition(":")
    made: str = getattr(importlib.import_module(module), function)()
    return made


def main() -> None:
    """Write every page that is not current."""
    for name in PAGES:
        path, made = FOLDER / name, text(name)
        if not path.exists() or path.read_text(encoding="utf-8") != made:
            path.write_text(made, encoding="utf-8")
            print(f"docs/{name}: written")


if __name__ == "__main__":
    main()
