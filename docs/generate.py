"""Writes the pages of docs/ that are made from the code: `python -m docs.generate`.

A new page is a row in PAGES; tests/docs/test_generated.py proves that all of them are current.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from docs import commands, rehearsal, resources, security, settings

FOLDER = Path(__file__).parent
# File -> the function that returns its text.
PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "images.md": resources.images,
    "rehearsal.md": rehearsal.page,
    "resources.md": resources.page,
    "security.md": security.page,
    "settings.md": settings.page,
    "settings.schema.json": settings.json_schema,
}


def text(name: str) -> str:
    """What the page should hold."""
    return PAGES[name]()


def main() -> None:
    """Write every page that is not current."""
    for name in PAGES:
        path, made = FOLDER / name, text(name)
        if not path.exists() or path.read_text(encoding="utf-8") != made:
            path.write_text(made, encoding="utf-8")
            print(f"docs/{name}: written")


if __name__ == "__main__":
    main()
