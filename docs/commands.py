"""Makes docs/commands.md from the verbs of `./lab`."""

from cli.lib.command import EXIT_CODES, Argument
from cli.main import verbs


def page() -> str:
    """docs/commands.md."""
    lines = [
        "# Commands",
        "",
        "Made from cli/commands/ by `python -m docs.generate`.",
        "",
        "| command | what it does |",
        "| --- | --- |",
    ]
    for verb in verbs():
        words = [verb.name, *(word(argument) for argument in verb.arguments)]
        usage = " ".join(words).replace("|", "\\|")
        lines.append(f"| `./lab {usage}` | {verb.help} |")
    lines += ["", "## Options", ""]
    for verb in verbs():
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
    return text if many is None else f"[{text}...]" if many in ("*", "...") else f"[{text}]"
