"""`./lab drift`: whether the world is still as the state says, machines' insides included."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.lib.command import DAILY, ENV, JSON, LAYER, Verb
from cli.lib.fault import say
from cli.lib.plan import reduce
from cli.lib.pulumi import DRIFTED, Engine
from cli.lib.terminal import print_json
from toolchain import files

VERB = Verb(
    "drift",
    "whether everything is still as the state says, machines' insides included",
    group=DAILY,
    order=30,
    arguments=(ENV, LAYER, JSON),
)


def run(values: argparse.Namespace) -> int:
    """Compare; exit 7 where something differs, 1 where something could not be looked at."""
    from cli.lib import ansible, reach, stacks
    from cli.lib.backend import chosen, drift_file, prepare

    engine, settings = prepare(values.env)
    layers = chosen(values.layer)
    known = engine.stacks()
    stacks.require_made(values.env, layers, known)
    there = [layer for layer in layers if known[f"{values.env}-{layer}"]]
    if empty := [layer for layer in layers if layer not in there]:
        say(f"not up, so nothing of it can differ: {', '.join(empty)}")
    if there:
        reach.require(engine, settings, layers)
    found = {layer: Layer() for layer in there}
    for layer, seen in found.items():
        stack = f"{values.env}-{layer}"
        if values.json:
            seen.preview(engine, layer, stack)
        else:
            words = ("preview", "--refresh", "--expect-no-changes", "-s", stack)
            seen.codes.append(engine.run(*words))
        for inner in ansible.runs(engine, stack):
            inside = ansible.look(engine, inner, *([] if values.json else ["--diff"]))
            seen.codes.append(inside.code)
            seen.machines += inside.differences
            if not values.json:
                print(inside.output, flush=True)
    if values.json:
        print_json({layer: asdict(seen) | {"code": seen.code} for layer, seen in found.items()})
    code = worst(seen.code for seen in found.values())
    if there == list(chosen(None)):
        remember(drift_file(values.env), code)
    return code


def remember(file: Path, code: int) -> None:
    """Keep when it ended, and how, for `./lab status`."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    files.replace(file, json.dumps({"at": now, "code": code}).encode())


def worst(codes: Iterable[int]) -> int:
    """The code of a whole: a failure's, else whether something differs."""
    all_codes = list(codes)
    return next((code for code in all_codes if code not in {0, DRIFTED}), max(all_codes, default=0))


@dataclass
class Layer:
    """What was found of a layer: resources and machines' insides that differ."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    @property
    def code(self) -> int:
        """Its code as `drift`'s."""
        return worst(self.codes)

    def preview(self, engine: Engine, layer: str, stack: str) -> None:
        """Compare its resources; names only, as the values may be secret."""
        found = engine.preview(stack, "--refresh", "--expect-no-changes")
        self.codes.append(found.code)
        if found.failed:
            say(found.why)
        self.resources += reduce(layer, "", found.data).changes()
