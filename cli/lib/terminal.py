"""What a terminal adds: colours, where somebody looks and wants them; and JSON, where none does.

Standard library only, as ./lab doctor runs before anything is installed.
"""

import json
import os
import sys
from typing import Any

RED, YELLOW = "31", "33"


def coloured() -> bool:
    """Whether standard output shows colours: a terminal, and no NO_COLOR (https://no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()


def paint(text: str, colour: str) -> str:
    """The text in a colour, where colours are shown."""
    return f"\x1b[{colour}m{text}\x1b[0m" if coloured() else text


def print_json(result: Any) -> None:
    """A result for another program; paths and addresses as text."""
    print(json.dumps(result, indent=2, default=str))
