"""Stack files (Pulumi.<env>.yaml), read as Pulumi reads them.

Pulumi's parser is Go's yaml.v3; the rules for plain text are those of its resolve.go, and
tests/settings/test_stackfile.py compares both. (YAML 1.1, as PyYAML reads it, makes a bool of
`yes` and a number of 10:20:30.) What Pulumi reads otherwise than meant, such as dates, is a fault.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from settings import syntax

# What Pulumi itself writes into a stack file, besides `config`.
ROOT_KEYS = ("config", "encryptionsalt", "encryptedkey", "secretsprovider")

# Aliases repeat a part of the file; more nodes than this are a bomb and not settings.
_MOST_NODES = 100_000

_NO_TAGS = "YAML tags are not read here; write the value without one"
_WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
_DATE = re.compile(
    r"\d{4}-\d\d?-\d\d?([Tt ]\d\d?:\d\d?:\d\d?([.,]\d+)?(Z|[-+]\d\d:\d\d)?)?", re.ASCII
)
_ENDLESS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BASES = {
    16: re.compile(r"([-+]?)0[xX]([0-9a-fA-F]+)"),
    8: re.compile(r"([-+]?)0[oO]?([0-7]+)"),
    2: re.compile(r"([-+]?)0[bB]([01]+)"),
    10: re.compile(r"([-+]?)(0|[1-9][0-9]*)"),
}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LOOSE_UNDERSCORE = re.compile(r"(?<![0-9])_|_(?![0-9])")


def layer_file(project: Path, env: str, layer: str) -> Path:
    """The stack file of one layer: a link to the environment's one file.

    Pulumi.yaml's `stackConfigDir` names the folder.
    """
    return project / "stacks" / f"Pulumi.{env}-{layer}.yaml"


def is_secret(value: Any) -> bool:
    """Whether a value is one that Pulumi encrypted: the map `secure: ...`."""
    return isinstance(value, dict) and set(value) == {"secure"} and isinstance(value["secure"], str)


class StackFileError(ValueError):
    """The text is not a stack file, or no YAML; the message says where and why."""


class _Loader(yaml.SafeLoader):
    """Composes nodes only, so that no tag can make an object; plain text gets the tag `plain`."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML's way to clear them


_Loader.add_implicit_resolver("plain", re.compile(""), None)


def read_document(path: Path) -> Any:
    """What a YAML file holds; StackFileError when it cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise StackFileError(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise StackFileError(f"line {line}: is not UTF-8; save the file as UTF-8") from None
    return document(text)


def document(text: str) -> Any:
    """What YAML text holds; StackFileError where it is none."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        return None if root is None else _Reader().value(root)
    except yaml.MarkedYAMLError as error:
        raise StackFileError(syntax.explain(error)) from None
    except yaml.YAMLError as error:
        raise StackFileError(" ".join(str(error).split())) from None
    except RecursionError:
        raise StackFileError("is nested too deeply") from None


def read_config(path: Path) -> dict[str, Any]:
    """The `config` map of a stack file; StackFileError when it has none or cannot be read.

    Keys without a namespace get the project's, as in Pulumi.
    """
    document = read_document(path)
    if not isinstance(document, dict) or not isinstance(document.get("config"), dict):
        raise StackFileError("has no `config:` map; `git checkout` brings the original back")
    if unknown := sorted(set(document) - set(ROOT_KEYS)):
        raise StackFileError(f"`{unknown[0]}` does nothing there; settings belong under `config:`")
    return {k if ":" in k else f"datalab:{k}": v for k, v in document["config"].items()}


class _Reader:
    """Turns nodes into the values that Pulumi makes of them."""

    def __init__(self) -> None:
        self.open: set[int] = set()  # ids of the collections that are being read
        self.nodes = 0

    def value(self, node: Node) -> Any:
        """The value of a node; StackFileError naming the line."""
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise _error(node, "its aliases repeat too much")
        if isinstance(node, ScalarNode):
            return _scalar(node)
        if id(node) in self.open:
            raise _error(node, "an anchor contains itself")
        if not node.tag.startswith("tag:yaml.org,2002:"):
            raise _error(node, _NO_TAGS)
        self.open.add(id(node))
        value: Any = None
        if isinstance(node, SequenceNode):
            value = [self.value(item) for item in node.value]
        elif isinstance(node, MappingNode):
            value = self.mapping(node)
        self.open.discard(id(node))
        return value

    def mapping(self, node: MappingNode) -> dict[str, Any]:
        """A map: its own keys win over merged ones, of which the first wins."""
        own: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.value == "<<" and key_node.tag == "plain":
                for source in self.sources(value_node):
                    merged = {**source, **merged}
                continue
            key = _key(key_node)
            if key in lines:
                raise _error(key_node, f"`{key}` is already defined at line {lines[key]}")
            lines[key] = key_node.start_mark.line + 1
            own[key] = self.value(value_node)
        return {**merged, **own}

    def sources(self, node: Node) -> Iterator[dict[str, Any]]:
        """The maps that a merge key names."""
        for item in node.value if isinstance(node, SequenceNode) else [node]:
            value = self.value(item)
            if not isinstance(value, dict):
                raise _error(item, "`<<` merges maps only")
            yield value


def _error(node: Node, text: str) -> StackFileError:
    return StackFileError(f"line {node.start_mark.line + 1}: {text}")


def _key(node: Node) -> str:
    key = _scalar(node) if isinstance(node, ScalarNode) else None
    if key is None or isinstance(key, float):
        raise _error(node, "this key is no text; write it in quotes")
    return str(key).lower() if isinstance(key, bool) else str(key)


def _scalar(node: ScalarNode) -> Any:
    text: str = node.value
    if not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text):
        raise _error(node, "half a character; write the whole one")
    if node.tag == "tag:yaml.org,2002:str":  # in quotes, a block, or tagged so
        return text
    if node.tag != "plain":
        raise _error(node, _NO_TAGS)
    if text in _WORDS:
        return _WORDS[text]
    if _DATE.fullmatch(text):
        raise _error(node, f"Pulumi would make a date of {text}; write it in quotes")
    if _ENDLESS.fullmatch(text):
        raise _error(node, f"{text} is no number that Pulumi can hand on")
    return _number(text)


def _number(text: str) -> int | float | str:
    """The number that plain text stands for, else the text."""
    if not text.startswith(tuple("+-.0123456789")):
        return text
    if text.startswith(".") and _LOOSE_UNDERSCORE.search(text):
        return text
    digits = text.replace("_", "")
    for base, pattern in _BASES.items():
        if found := pattern.fullmatch(digits):
            value = int(found[1] + found[2], base)
            if -(2**63) <= value < 2**64:
                return value
    if not _FLOAT.fullmatch(digits):
        return text
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        return text
    # Go's JSON, in which the program gets it, writes 1.0 as 1.
    return int(number) if number.is_integer() and abs(number) < 1e21 else number
