"""docs/settings.md and the JSON schema for editors, from the models in settings/."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from settings import PROJECT, SECRET_KEYS, Settings, schema
from settings.defaults import SCHEMA_KEY
from settings.faults import expected, kinds, resolve
from settings.rules import RULES
from settings.stackfile import ROOT_KEYS

HEAD = """# Settings

Made from settings/ by `python -m docs.generate`.

Everything that a person may set for an environment stands in `Pulumi.dev.yaml` or
`Pulumi.lab.yaml`, below `config:`; a key `common.domain` is the key `domain` below
`datalab:common`. `./lab check ENV` names every fault, with its key, before anything is touched.
Sizes end in their unit. A key without a default is required. Maps that have entries by default are
added to; null takes one of those away: `ghcr: null` below `foundation.cache.upstreams`.
"""
SECRETS = """## Secrets

Secrets are keys of their own and encrypted by Pulumi; one inside the tree, or in plain text, is a
fault. Every password that the lab needs for itself is generated.

| key | needed by | meaning |
| --- | --- | --- |
| `datalab:proxmoxApiToken` | lab | Proxmox VE's API token; `./lab init lab` asks for it |
| `datalab:upstreamPasswords` | upstreams with a `user` | a JSON map from upstreams of the cache \
to passwords: [Upstreams with a login](cache.md#upstreams-with-a-login) |
"""
TARGETS = ("docker", "proxmox")
Schema = dict[str, Any]


def page() -> str:
    """docs/settings.md."""
    root = schema()
    lines = [HEAD]
    shared: dict[str, None] = {}
    for layer in Settings.model_fields:
        model = resolve(root["properties"][layer], root)
        lines += [f"## `{layer}`", "", *_table(model, (layer,), shared), ""]
    lines += ["## Parts", ""]
    # Describing one part may mention further ones.
    done: set[str] = set()
    while todo := [name for name in shared if name not in done]:
        name = todo[0]
        done.add(name)
        model = root["$defs"][name]
        lines += [f"### {name}", "", model["description"], "", *_table(model, (), shared), ""]
    lines += [SECRETS, "## Rules between settings", ""]
    lines += [f"- {' '.join((rule.__doc__ or '').split())}" for rule in RULES]
    return "\n".join(lines) + "\n"


def _table(model: Schema, at: tuple[str, ...], shared: dict[str, None]) -> Iterator[str]:
    columns = ["key", "allowed", "default", "meaning"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for key, cells in _rows(model, at, shared):
        yield f"| `{'.'.join(key)}` | {' | '.join(cells)} |"


def _rows(
    model: Schema, at: tuple[str, ...], shared: dict[str, None]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """(key, cells) of the settings in a model and in those that occur only in it."""
    root = schema()
    for name, field in model["properties"].items():
        key, found = (*at, name), resolve(field, root)
        part = _named(field)
        maps = [*found.get("patternProperties", {}).values(), found.get("additionalProperties")]
        if part is not None and not _is_shared(part):
            yield from _rows(found, key, shared)
            continue
        if kinds(found):
            yield from _kinds(found, key, shared)
            continue
        allowed = expected(found)
        if part:
            allowed = _link(part, shared)
        elif maps[0]:
            allowed = f"a map from names to {_entry(maps[0], shared)}"
        elif "items" in found:
            allowed = f"{allowed}, each {_entry(found['items'], shared)}"
        default = _default(field)
        meaning = field.get("description") or found.get("description", "")
        yield key, [allowed.replace("|", "\\|"), default, " ".join(meaning.split()).rstrip(".")]


def _kinds(
    union: Schema, at: tuple[str, ...], shared: dict[str, None]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """The rows of a setting that is one of several models: its kind, then the keys of each."""
    allowed = expected({"enum": list(kinds(union))})
    yield (*at, "kind"), [allowed, "", union.get("description", "")]
    for kind, reference in kinds(union).items():
        for key, (*cells, meaning) in _rows(resolve({"$ref": reference}, schema()), at, shared):
            if key[-1] != "kind":
                yield key, [*cells, f"`{kind}`: {meaning}"]


def _entry(entry: Schema, shared: dict[str, None]) -> str:
    """What an entry of a map or list may be."""
    model = _named(entry)
    return _link(model, shared) if model else expected(resolve(entry, schema()))


def _link(model: str, shared: dict[str, None]) -> str:
    """A link to a model's part of the page."""
    shared[model] = None
    return f"[{model}](#{model.lower()})"


def _named(field: Schema) -> str | None:
    """The name of the model that a field holds."""
    branches = [field, *field.get("anyOf", ())]
    found = [branch["$ref"].rpartition("/")[2] for branch in branches if "$ref" in branch]
    return found[0] if found else None


def _is_shared(name: str) -> bool:
    """Whether a model occurs in several places."""
    return json.dumps(schema()).count(f'"#/$defs/{name}"') > 1


def _default(field: Schema) -> str:
    """What a setting is where the file does not say it, by kind of target where that differs."""
    found: dict[str, Any] = field.get(SCHEMA_KEY, {})
    plain = _code(field["default"]) if "default" in field else ""
    if not found:
        return plain
    if [*found.values()] == [next(iter(found.values()))] * len(TARGETS):
        return _entries(next(iter(found.values())))
    other = field.get("default")
    cells = [f"{_entries(value)} ({kind})" for kind, value in found.items()]
    if other is not None:
        cells += [f"{plain} ({kind})" for kind in TARGETS if kind not in found]
    return "; ".join(cells)


def _entries(value: Any) -> str:
    """A default; of a map of maps its names."""
    if isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values()):
        return ", ".join(f"`{name}`" for name in value)
    return _code(value)


def _code(value: Any) -> str:
    """A value as it would stand in the file, in short."""
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text if isinstance(value, dict | list) else text.strip(chr(34))}`"


def json_schema() -> str:
    """The schema of a stack file, by which an editor completes and checks it."""
    root = _optional(copy.deepcopy(schema()))
    sections = {f"{PROJECT}:{name}": part for name, part in root["properties"].items()}
    secret = {"type": "object", "properties": {"secure": {"type": "string"}}}
    config = {
        "type": "object",
        "properties": {**sections, **{f"{PROJECT}:{key}": secret for key in SECRET_KEYS}},
        "required": [f"{PROJECT}:common"],
        "patternProperties": {"^pulumi:": {}},
        "additionalProperties": False,
    }
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "datalab settings",
        "type": "object",
        "properties": {key: config if key == "config" else {"type": "string"} for key in ROOT_KEYS},
        "required": ["config"],
        "additionalProperties": False,
        "$defs": root["$defs"],
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _optional(root: Schema) -> Schema:
    """The schema, where what has a default is not required, and null takes an entry of it away."""
    for layer in Settings.model_fields:
        if layer != "common":
            name = root["properties"][layer]["$ref"].rpartition("/")[2]
            root["$defs"][name].pop("required", None)
    for model in root["$defs"].values():
        for name, field in model.get("properties", {}).items():
            if field.pop(SCHEMA_KEY, None) is None:
                continue
            model["required"] = [key for key in model.get("required", ()) if key != name]
            patterns = field.get("patternProperties", {})
            patterns |= {key: {"anyOf": [part, {"type": "null"}]} for key, part in patterns.items()}
            if isinstance(rest := field.get("additionalProperties"), dict):
                field["additionalProperties"] = {"anyOf": [rest, {"type": "null"}]}
    return root
