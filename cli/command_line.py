"""The command line of `./lab`, made from the table of verbs: its parser and its page of docs.

Standard library only, as it is read before anything is installed.
"""

import argparse
import difflib
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from typing import Any

from cli.verbs import EXIT_CODES, GROUPS, VERBS
from cli.words import Argument, Verb
from toolchain.files import ROOT
from toolchain.pulumi_cli import pinned_version

VERSION = "--version"
HELP = ("help", "--help", "-h")


class Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, then where help is; exit code 2."""

    def error(self, message: str) -> Any:
        text = re.sub(r"^argument \w+: ", "", message)
        sys.stderr.write(f"lab: {text}\nSee {self.prog} --help\n")
        raise SystemExit(2)


def parser(verb: Verb) -> Parser:
    """The command line of one verb."""
    row = Parser(prog=f"./lab {verb.name}", description=verb.help, allow_abbrev=False)
    for argument in verb.arguments:
        row.add_argument(argument.name, **argument.options)
    return row


def overview() -> str:
    """What `./lab` alone prints: the verbs by what they are for, and the exit codes."""
    lines = [
        "A complete data and ML platform at home, as one Pulumi program.",
        "",
        "usage: ./lab VERB ...   (more: ./lab help VERB; words after `--` go to the plain command)",
    ]
    for group in GROUPS:
        lines += ["", f"{group}:"]
        lines += [f"  {verb.name:<10}{verb.help}" for verb in VERBS if verb.group == group]
    lines += ["", "exit codes:", *(f"  {code:<4}{text}" for code, text in EXIT_CODES.items())]
    return "\n".join(lines)


def version() -> str:
    """The lab's version, its commit where git knows it, and the Pulumi that it is made for."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    try:
        told = subprocess.run(
            ["git", "-C", ROOT, "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
    except OSError:
        told = ""
    return f"datalab {whole}{f' ({told})' if told else ''}, Pulumi {pinned_version()}"


def find(name: str) -> Verb:
    """The verb of this name; SystemExit(2), with the nearest one, where there is none."""
    known = {verb.name: verb for verb in VERBS}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        sys.stderr.write(f"lab: there is no verb {name!r}{hint}\nSee ./lab help\n")
        raise SystemExit(2)
    return known[name]


def parse(arguments: Sequence[str]) -> tuple[Verb, argparse.Namespace]:
    """The verb and its arguments; `extra` holds the words after `--`. SystemExit(2) if wrong.

    SystemExit(0) where help or the version was asked for, which is printed.
    """
    words = list(arguments)
    if not words or words == [VERSION] or words[0] in HELP:
        wanted = words[1:2] if words[:1] == [HELP[0]] else []
        print(version() if words == [VERSION] else help_of(wanted[0]) if wanted else overview())
        raise SystemExit(0)
    verb = find(words.pop(0))
    cut = words.index("--") if "--" in words else len(words)
    values = parser(verb).parse_args(words[:cut])
    values.extra = words[cut + 1 :]
    if values.extra and not verb.passes_on:
        parser(verb).error(f"{verb.name} takes no words after `--`")
    return verb, values


def help_of(name: str) -> str:
    """The help of one verb."""
    return parser(find(name)).format_help().rstrip()


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
