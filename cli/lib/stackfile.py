"""Puts values into stack files and leaves the rest, byte for byte, as its owner wrote it.

Pulumi's own writer (Go's yaml.v3) keeps the comments, but drops blank lines, moves comments, takes
the spaces out of braces and quotes addresses: each `config set` changed forty lines of ours.
ruamel.yaml's round trip, too, takes the spaces out of braces and moves comments.
"""

import json
import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from cli.lib.fault import Fault
from settings import PROJECT
from toolchain import files


class _Dumper(yaml.SafeDumper):
    """Indents the items of a list, as the committed files do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def read(file: Path) -> str:
    """The text of a file, with its own line ends."""
    return file.read_bytes().decode()


def write(file: Path, text: str) -> None:
    """Replace the text of a file at once; its mode stays."""
    target = file.resolve()
    files.replace(target, text.encode(), stat.S_IMODE(target.stat().st_mode))


def parsed(text: str) -> Any:
    """The document, each scalar as the text that it is."""
    return yaml.BaseLoader(text).get_single_data()


def with_value(text: str, path: Sequence[str], value: Any) -> str:
    """The text with `value` at `path`: a scalar in the place of another, or a new entry of a map.

    Raises Fault where that would change more than this, as with aliases.
    """
    try:
        new, wanted = _put(text, path, value)
        if parsed(new) == wanted:
            return new
    except (yaml.YAMLError, ValueError):
        pass
    raise Fault(
        f"{'.'.join(path[1:] or path)} cannot be put into the settings file without changing more "
        f"of it; write it yourself: {_dump(value, flow=True)}",
        2,
    )


def _put(text: str, path: Sequence[str], value: Any) -> tuple[str, Any]:
    """The new text, and what it must say; ValueError where there is no place for the value."""
    node = yaml.compose(text, Loader=yaml.BaseLoader)
    if not isinstance(node, MappingNode):
        raise ValueError("the file is no map")
    # A copy without shared parts: an alias would otherwise change with its anchor, unnoticed.
    wanted = level = json.loads(json.dumps(parsed(text)))
    missing = list(path)
    while missing and isinstance(node, MappingNode):
        try:
            key, node = _child(node, missing[0])
        except LookupError:
            break
        missing.pop(0)
        if missing and isinstance(level[key], dict):
            level = level[key]
    for step in reversed(missing[1:]):
        value = {step: value}
    if isinstance(node, MappingNode) and missing:
        new = {missing[0]: value}
        level |= parsed(_dump(new))
        return _entered(text, node, new), wanted
    if not isinstance(node, ScalarNode):
        raise ValueError("there is a list or a map in its place")
    value = {missing[0]: value} if missing else value
    level[key] = parsed(_dump(value, flow=True))
    start, end = node.start_mark.index, node.end_mark.index
    gap = " " if start == end else ""
    return f"{text[:start]}{gap}{_dump(value, flow=True)}{text[end:]}", wanted


def _child(node: MappingNode, step: str) -> tuple[str, Node]:
    """Key and value of an entry; keys without a namespace have the project's, as in Pulumi."""
    key, value = entry(node, step, step.removeprefix(f"{PROJECT}:"))
    if value.start_mark.index < key.end_mark.index:
        raise ValueError("an alias: its anchor would change")
    return key.value, value


def entry(node: Node | None, *names: str) -> tuple[Node, Node]:
    """Key and value of the entry of a map that has one of these names; LookupError without."""
    for key, value in node.value if isinstance(node, MappingNode) else ():
        if key.value == "<<":
            raise ValueError("what is merged would be hidden")
        if key.value in names:
            return key, value
    raise LookupError(names[0])


def newline(text: str) -> str:
    """How the lines of a file end."""
    return "\r\n" if "\r\n" in text else "\n"


def _entered(text: str, node: MappingNode, new: dict[str, Any]) -> str:
    """The text with one more entry at the end of a map, in the style of that map."""
    if node.flow_style:
        at = node.value[-1][1].end_mark.index if node.value else node.start_mark.index + 1
        comma = ", " if node.value else ""
        return f"{text[:at]}{comma}{_dump(new, flow=True)[1:-1]}{text[at:]}"
    column = node.start_mark.column
    at = _end(node)
    if not text[:at].endswith("\n"):  # a block of text ends with its line
        at = text.find("\n", at) + 1 or len(text)
    # Comments that stand as deep belong to what is before them.
    deep = rf"(?:(?:[ \t]*\r?\n)*[ ]{{{column},}}#[^\n]*(?:\n|\Z))*"
    if found := re.compile(deep).match(text, at):
        at = found.end()
    end = newline(text)
    lines = [" " * column + line + end for line in _dump(new).splitlines()]
    before = text[:at] if text[:at].endswith("\n") else text[:at] + end
    return before + "".join(lines) + text[at:]


def _end(node: Node) -> int:
    """Where the text of a node ends; PyYAML's mark of a block is where the next thing starts."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        if isinstance(last, tuple):
            return max(int(last[0].end_mark.index), _end(last[1]))  # an alias is after its key
        return _end(last)
    return int(node.end_mark.index)


def _dump(value: Any, *, flow: bool = False) -> str:
    """YAML of a value, in one line or as a block, without an end mark."""
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=flow,
        sort_keys=False,
        width=sys.maxsize,
        allow_unicode=False,  # a next line (U+0085) written as it is comes back as a blank
    )
    return str(text).removesuffix("...\n").rstrip("\n")
