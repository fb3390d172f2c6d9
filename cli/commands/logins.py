"""`./lab logins`: where people log in: to services, databases and buckets."""

import argparse
import sys

from cli.lib.command import ENV, JSON, START, Verb, arg, unknown
from cli.lib.fault import Fault, say
from cli.lib.terminal import print_json
from layers import LAYERS

VERB = Verb(
    "logins",
    "where people log in: to services, databases and buckets",
    group=START,
    order=60,
    arguments=(
        ENV,
        arg("name", metavar="NAME", nargs="?", help="only that of one"),
        arg("--show", action="store_true", help="the passwords too"),
        JSON,
    ),
)

HEADS = ("service", "url", "user", "password")
MASK = "********"
# Broken in two by a narrow terminal's table, a password could not be copied.
WIDTH = 250


def run(values: argparse.Namespace) -> int:
    """A table on a terminal, else lines with tabs; passwords only with `--show`."""
    from rich.console import Console

    from cli.lib.backend import prepare
    from cli.lib.tables import grid

    engine, _ = prepare(values.env)
    known = engine.stacks()
    found: dict[str, dict[str, str]] = {}
    for stack in (f"{values.env}-{layer}" for layer in LAYERS):
        if known.get(stack):
            found |= engine.outputs(stack, "--show-secrets").get("logins", {})
    if not found:
        raise Fault(f"{values.env} has no logins yet: run ./lab up {values.env} first")
    if values.name:
        if values.name not in found:
            raise Fault(unknown("login", values.name, sorted(found)), 2)
        found = {values.name: found[values.name]}
    if values.json:
        shown = {} if values.show else {"password": None}
        print_json({name: {**to, **shown} for name, to in sorted(found.items())})
        return 0
    rows: list[tuple[object, ...]] = [
        (name, to["url"], to["user"], to["password"] if values.show else MASK)
        for name, to in sorted(found.items())
    ]
    if sys.stdout.isatty():
        Console(width=WIDTH).print(grid(f"Logins of {values.env}", HEADS, rows))
    else:
        print("\n".join("\t".join(map(str, row)) for row in rows))
    if not values.show:
        say(f"./lab logins {values.env} --show prints the passwords")
    return 0
