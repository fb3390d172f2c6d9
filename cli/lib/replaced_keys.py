"""Rewrites keys of an earlier release in a stack file; all else stays, byte for byte."""

from collections.abc import Iterator

import yaml
from yaml.nodes import MappingNode, ScalarNode

from cli.lib.fault import Fault
from cli.lib.stackfile import entry, newline, with_value
from settings import PROJECT, Settings, replaced
from settings.defaults import unlisted
from settings.stackfile import StackFileError, document

Edit = tuple[int, int, str]  # from, to, and what comes there
COMMON = f"{PROJECT}:common"


def rewritten(text: str) -> str:
    """The text of a stack file with `common.target`; as it is where it has one.

    Fault where that cannot be done without changing more of it.
    """
    before = document(text)
    key = next((key for key in (COMMON, "common") if key in before["config"]), COMMON)
    common = before["config"].get(key)
    if not replaced.keys(common):
        return text
    wanted = {**before, "config": {**before["config"], key: replaced.with_target(common)}}
    try:
        new = _edited(text, list(_edits(text, key, str(common.get("place")))))
        if document(new) == wanted:
            return _unlisted(new, str(common["place"]))
    except (LookupError, ValueError, StackFileError):
        pass
    raise Fault(
        "common.place cannot be rewritten without changing more of the settings file; write "
        "common.target yourself: docs/settings.md has its keys",
        2,
    )


def _unlisted(text: str, place: str) -> str:
    """The text with null for the entries that maps have by default now, and this one had not."""
    config = document(text)["config"]
    tree = {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items()}
    for layer, *path in unlisted(Settings, tree, place):
        if layer in tree:
            text = with_value(text, ("config", f"{PROJECT}:{layer}", *path), None)
    return text


def _edits(text: str, key: str, place: str) -> Iterator[Edit]:
    """What to change, for a place that its owner's map is next to."""
    root = yaml.compose(text, Loader=yaml.BaseLoader)
    common = entry(entry(root, "config")[1], key)[1]
    owner_key, owner = entry(common, replaced.OWNERS[place])
    if not isinstance(common, MappingNode) or not isinstance(owner, MappingNode):
        raise ValueError("no map")
    if owner.start_mark.index < owner_key.end_mark.index:
        raise ValueError("an alias: its anchor would change")
    yield owner_key.start_mark.index, owner_key.end_mark.index, "target"
    for name, _ in owner.value:
        if place == "proxmox" and name.value in replaced.RENAMED:
            yield name.start_mark.index, name.end_mark.index, replaced.RENAMED[name.value]
    (start, end, _), comment = _removed(text, common, "place")
    # A map in braces has no room for a comment: it stays where it was, on a line of its own.
    indent = " " * common.start_mark.column
    left = f"{indent}{comment.lstrip()}{newline(text)}" if comment and owner.flow_style else ""
    yield start, end, left
    yield _kind(owner, place, comment, newline(text))
    for other in replaced.OWNERS.values():
        if other != replaced.OWNERS[place] and any(name.value == other for name, _ in common.value):
            yield _removed(text, common, other)[0]


def _kind(owner: MappingNode, place: str, comment: str, end: str) -> Edit:
    """The first entry of the target: its kind, with the comment that `place` had."""
    if owner.flow_style:
        at = owner.start_mark.index + 1
        return at, at, f" kind: {place}, " if owner.value else f"kind: {place}"
    first = owner.value[0][0].start_mark
    line = f"kind: {place}{comment}{end}{' ' * first.column}"
    return first.index, first.index, line


def _removed(text: str, common: MappingNode, name: str) -> tuple[Edit, str]:
    """An edit that takes a plain entry away, and the comment that stood behind it."""
    key, value = entry(common, name)
    if not isinstance(value, ScalarNode):
        raise ValueError(f"{name} is not a plain value")
    start, end = key.start_mark.index, max(key.end_mark.index + 1, value.end_mark.index)
    if common.flow_style:
        number = [name for name, _ in common.value].index(key)
        if number + 1 < len(common.value):
            return (start, common.value[number + 1][0].start_mark.index, ""), ""
        return (common.value[number - 1][1].end_mark.index, end, ""), ""
    line = text.rfind("\n", 0, start) + 1
    after = text.find("\n", end)
    after = len(text) if after < 0 else after + 1
    comment = text[end:after].rstrip("\r\n")
    return (line, after, ""), comment if comment.strip() else ""


def _edited(text: str, edits: list[Edit]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text
