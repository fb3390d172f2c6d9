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


def page() -> str:
    """docs/rehearsal.md."""
    lines = [
        "# What the rehearsal refuses",
        "",
        "Made from rehearsal/refusals.yaml by `python -m docs.generate`.",
        "",
        "`./lab rehearse` runs the real program on the real Pulumi engine over a simulated world.",
        "It refuses what real providers and their APIs refuse, in their words. *check* is found",
        "before anything is called, so in a preview too; *apply* is the API's own answer.",
        "",
        "What a simulator can only claim, two real providers are asked: tests/engine/",
        "test_real_docker.py brings `dev` up on a real engine, test_real_proxmox.py layers 1 and 2",
        "of `lab` on a node that checks calls by PVE's schema; both are held at rest there.",
        "",
        "`./lab rehearse ENV --from REF` shows what this checkout does to a lab that stands: it",
        "brings the lab up by the program and settings of that commit (with the Python packages of",
        "now), applies the checkout, uncommitted changes included, and lists each resource that is",
        "created, updated, replaced or deleted, by layer; the last line counts them. `--json` has",
        "the same as data. `--fail` and `--kill-at` then act on the checkout's `up`. Exit code 0",
        "says that the checkout came up and left nothing to do, whatever it changed; 1 that it did",
        "not; 2 that there is no such commit, or no git.",
        "",
        "`--fail TYPE=NAME` first brings the layers up once without a fault, to learn what there",
        "is: a resource that nothing makes is refused before the rehearsal starts. What is",
        "left in the temporary folder is removed, after a failure too, unless `--keep` is given;",
        "a rehearsal that was killed outright is cleared away by the next.",
        "",
        "| what | when | reason | source |",
        "| --- | --- | --- | --- |",
    ]
    for refusal in table().values():
        reason = refusal.reason.replace("{{", "{").replace("}}", "}").replace("|", "\\|")
        lines.append(f"| `{refusal.id}` | {refusal.when} | {reason} | {refusal.source} |")
    return "\n".join(lines) + "\n"


class RefusedError(Exception):
    """The world refuses an operation; the text is the real API's."""

    def __init__(self, refusal: str, /, *, at: str = "", **values: Any):
        self.refusal = table()[refusal]
        self.at = at  # the property at fault, for `check`
        super().__init__(self.refusal.reason.format_map(values))
