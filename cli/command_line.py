"""The command line of `./lab`, made from the table of verbs: its parser and its page of docs.

Standard library only, as it is read before anything is installed.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from cli.verbs import EXIT_CODES, VERBS, Argument, Verb


class Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, then where help is; exit code 2."""

    def error(self, message: str) -> Any:
        sys.stderr.write(f"lab: {message}\nSee {self.prog} --help\n")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The command line of `./lab`."""
    codes = "\n".join(f"  {code:<4}{meaning}" for code, meaning in EXIT_CODES.items())
    whole = Parser(
        prog="./lab",
        description="A complete data and ML platform at home, as one Pulumi program.",
        epilog=f"exit codes:\n{codes}\n\nWords after `--` go to the plain command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = whole.add_subparsers(metavar="VERB", dest="verb", required=True)
    for verb in VERBS:
        row = verbs.add_parser(verb.name, help=verb.help, description=verb.help, allow_abbrev=False)
        for argument in verb.arguments:
            row.add_argument(argument.name, **argument.options)
    return whole


def parse(arguments: Sequence[str]) -> tuple[Verb, argparse.Namespace]:
    """The verb and its arguments; `extra` holds the words after `--`. SystemExit(2) if wrong."""
    words = list(arguments)
    cut = words.index("--") if "--" in words else len(words)
    values = parser().parse_args(words[:cut])
    verb = next(verb for verb in VERBS if verb.name == values.verb)
    values.extra = words[cut + 1 :]
    if values.extra and not verb.passes_on:
        parser().error(f"{verb.name} takes no words after `--`")
    return verb, values


def reference() -> str:
    """docs/commands.md."""
    lines = [
        "# Commands",
        "",
        "Made from cli/verbs.py by `python -m docs.generate`.",
        "",
        "| command | what it does |",
        "| --- | --- |",
    ]
    for verb in VERBS:
        words = [verb.name, *(word(argument) for argument in verb.arguments)]
        lines.append(f"| `./lab {' '.join(words)}` | {verb.help} |".replace("|rescue", "\\|rescue"))
    lines += ["", "## Options", ""]
    for verb in VERBS:
        for argument in verb.arguments:
            if argument.name.startswith("-"):
                lines.append(
                    f"- `./lab {verb.name} {word(argument, bare=True)}`: {argument.options['help']}"
                )
    lines += ["", "## Exit codes", "", "| code | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(lines) + "\n"


def word(argument: Argument, *, bare: bool = False) -> str:
    """An argument as it is shown in a line of usage."""
    text = argument.name
    if text.startswith("-"):
        if argument.options.get("action") != "store_true":
            text += f" {argument.options.get('metavar', argument.name.strip('-').upper())}"
        return text if bare else f"[{text}]"
    text = str(argument.options.get("metavar", argument.name.upper()))
    many = argument.options.get("nargs")
    return text if many is None else f"[{text}...]" if many == "*" else f"[{text}]"
