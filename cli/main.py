"""`./lab` itself: finds the verb, reads its arguments, runs it, and says what went wrong.

Nothing but the standard library at the top, as a part of it runs before anything is installed.
"""

import argparse
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from typing import Any

from cli import commands
from cli.lib.command import EXIT_CODES, GROUPS, Verb, unknown
from cli.lib.fault import Fault, SettingsFault, say
from toolchain import files
from toolchain.files import ROOT
from toolchain.install import SetupError
from toolchain.pulumi_cli import pinned_version

VERSION = "--version"
HELP = ("help", "--help", "-h")


class Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, then where help is; exit code 2."""

    def error(self, message: str) -> Any:
        text = re.sub(r"^argument \w+: ", "", message)
        sys.stderr.write(f"lab: {text}\nSee {self.prog} --help\n")
        raise SystemExit(2)


def main(arguments: Sequence[str], set_up: Callable[[Verb], None] = lambda _: None) -> int:
    """Run `./lab ARGUMENTS`; returns the exit code (cli/lib/command.py, EXIT_CODES).

    set_up comes first: it makes what the verb needs, and its failures are said as the verb's are.
    """
    verb, values = parse(arguments)
    goes_on = True  # as every set-up does
    try:
        set_up(verb)
        goes_on = verb.goes_on
        code: int = module(verb.name).run(values)
    except SettingsFault as fault:
        print(fault, file=sys.stderr)
        return fault.code
    except (Fault, SetupError) as error:
        say(error)
        return error.code if isinstance(error, Fault) else 1
    except KeyboardInterrupt:
        again = "; run the same command again to go on" if goes_on else ""
        print(f"\nlab: interrupted{again}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `./lab hosts lab | head -1`
        sys.stderr.close()
        return 0
    except OSError as error:
        if (text := files.explain(error)) is None:
            raise
        say(text)
        return 1
    return code


def names() -> list[str]:
    """The names of all verbs: of the modules in cli/commands/."""
    return [found.name for found in pkgutil.iter_modules(commands.__path__)]


def module(name: str) -> Any:
    """The module of a verb."""
    return importlib.import_module(f"{commands.__name__}.{name}")


def verbs() -> list[Verb]:
    """Every verb, in the order of `./lab help`."""
    found: list[Verb] = [module(name).VERB for name in names()]
    return sorted(found, key=lambda verb: (GROUPS.index(verb.group), verb.order, verb.name))


def find(name: str) -> Verb:
    """The verb of this name; SystemExit(2), with the nearest one, where there is none."""
    if name not in (known := names()):
        say(f"{unknown('verb', name, known)}\nSee ./lab help")
        raise SystemExit(2)
    verb: Verb = module(name).VERB
    return verb


def parser(verb: Verb) -> Parser:
    """The command line of one verb."""
    row = Parser(prog=f"./lab {verb.name}", description=verb.help, allow_abbrev=False)
    for argument in verb.arguments:
        row.add_argument(argument.name, **argument.options)
    return row


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


def overview() -> str:
    """What `./lab` alone prints: the verbs by what they are for, and the exit codes."""
    lines = [
        "A complete data and ML platform at home, as one Pulumi program.",
        "",
        "usage: ./lab VERB ...   (more: ./lab help VERB; words after `--` go to the plain command)",
    ]
    every = verbs()
    for group in GROUPS:
        lines += ["", f"{group}:"]
        lines += [f"  {verb.name:<10}{verb.help}" for verb in every if verb.group == group]
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
