"""The table of everything that the simulated world refuses, and how a rule refuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One thing that the real provider or its API refuses.

    when: `check` for what the provider finds before it calls the API (in a preview too), `apply`
    for what only the API knows. reason is its text, with the values in braces.
    """

    id: str
    when: Literal["check", "apply"]
    reason: str
    source: str


@cache
def table() -> Mapping[str, Refusal]:
    """Every refusal by its id, in the order of the file."""
    text = (Path(__file__).parent / "refusals.yaml").read_text(encoding="utf-8")
    return {name: Refusal(id=name, **row) for name, row in yaml.safe_load(text).items()}


class RefusedError(Exception):
    """The world refuses an operation; the text is the real API's."""

    def __init__(self, refusal: str, /, *, at: str = "", **values: Any):
        self.refusal = table()[refusal]
        self.at = at  # the property at fault, for `check`
        super().__init__(self.refusal.reason.format_map(values))
