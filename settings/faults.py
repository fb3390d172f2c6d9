"""From what pydantic found to what a person can fix: where, what was given, the rule."""

import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Any

from pydantic import ValidationError

from settings.stackfile import is_secret

Location = tuple[str | int, ...]
Schema = dict[str, Any]

_FORMATS = {
    "ipv4": "an IPv4 address such as 192.168.1.10",
    "ipvanyaddress": "an IP address such as 192.168.1.1 or fd00::1",
    "ipv4network": "an IPv4 network such as 192.168.1.0/24",
    "path": "a path such as .state/rescue",
    "uri": "a URL such as https://192.168.1.2:8006",
}
_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "array": "a list",
    "object": "a map of keys",
}


def suggestion(word: str, known: Sequence[str]) -> str:
    """What the person may have meant, else all there is."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there is {', '.join(known)}"


def expected(schema: Schema) -> str:
    """What a JSON schema of one setting allows, in words."""
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if "const" in schema:
        return json.dumps(schema["const"])
    if kinds(schema):
        return "a map of keys"
    if "pattern" in schema:
        return f"text such as {_examples(schema)}"
    text = _FORMATS.get(schema.get("format", ""), _TYPES.get(schema.get("type", ""), "a value"))
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        text += f" from {least} to {most}" if most is not None else f" of at least {least}"
    fewest = schema.get("minItems", schema.get("minProperties"))
    if most := schema.get("maxItems", schema.get("maxProperties")):
        text += f" of {fewest} to {most} entries" if fewest else f" of at most {most} entries"
    elif fewest:
        text += f" of {fewest} or more entries"
    return text


def resolve(schema: Schema, root: Schema) -> Schema:
    """A schema without references and without `or null`."""
    branches = [branch for branch in schema.get("anyOf", ()) if branch.get("type") != "null"]
    if len(branches) == 1:
        schema = {**schema, **branches[0]}
    if "$ref" in schema:
        target: Schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        schema = {**target, **{k: v for k, v in schema.items() if k in ("default", "description")}}
    return schema


def kinds(schema: Schema) -> dict[str, str]:
    """Kind -> reference of the model that it stands for, where a setting is one of several."""
    found: dict[str, str] = schema.get("discriminator", {}).get("mapping", {})
    return found


def at(location: Location, root: Schema) -> Schema:
    """The schema of the setting at one of pydantic's locations; empty where there can be none."""
    schema = root
    for part in location:
        if part in kinds(schema):
            schema = resolve({"$ref": kinds(schema)[str(part)]}, root)
            continue
        if isinstance(part, int):
            inner = schema.get("items", {})
        else:
            named = schema.get("patternProperties", {}).values()
            inner = schema.get("properties", {}).get(part) or schema.get("additionalProperties")
            inner = inner or next(iter(named), {})
        schema = resolve(inner, root) if isinstance(inner, dict) else {}
    return schema


def written(location: Location, root: Schema) -> Location:
    """One of pydantic's locations as the file has it: without the kinds between the keys."""
    return tuple(
        part for n, part in enumerate(location) if part not in kinds(at(location[:n], root))
    )


def secrets_in(value: Any, location: Location = ()) -> Iterator[Location]:
    """Where Pulumi secrets (`secure: ...`) stand in a tree."""
    if is_secret(value):
        yield location
        return
    if isinstance(value, dict | list):
        for part in value if isinstance(value, dict) else range(len(value)):
            yield from secrets_in(value[part], (*location, part))


def explain(error: ValidationError, root: Schema) -> Iterator[tuple[Location, str]]:
    """(location, message) of every fault that pydantic found."""
    for location, text in _explain(error, root):
        yield written(location, root), text


def _explain(error: ValidationError, root: Schema) -> Iterator[tuple[Location, str]]:
    details = error.errors()
    misspelt = set(meant(error, root))
    for detail in details:
        location, kind, given = detail["loc"], detail["type"], detail["input"]
        if kind == "missing" and location in misspelt:
            continue  # it is there under a wrong name, of which another line speaks
        if kind == "too_short" and any(
            other["loc"][:-1] == location for other in details if other["loc"]
        ):
            continue  # pydantic counts only the entries that are right
        if location and location[-1] == "[key]":
            location = location[:-1]
            parent = at(location[:-1], root)
            pattern = next(iter(parent.get("patternProperties", ())), "")
            names = {"pattern": pattern, **parent.get("propertyNames", {})}
            yield location, f"this key has the wrong form; an example is {_examples(names)}"
        elif kind == "extra_forbidden":
            known = _known(location, root)
            yield location, f"unknown setting; {suggestion(str(location[-1]), known)}"
        elif kind.startswith("union_tag"):
            name = at(location, root)["discriminator"]["propertyName"]
            schema = {"enum": list(kinds(at(location, root)))}
            if name in given:
                yield (*location, name), f"{_short(given[name])} is not {expected(schema)}"
            else:
                yield (*location, name), f"is missing; give it {expected(schema)}"
        elif kind == "missing":
            schema = at(location, root)
            yield location, f"is missing; give it {expected(schema)}{_meaning(schema)}"
        else:
            yield location, _wrong(given, at(location, root), detail)


def _known(location: Location, root: Schema) -> list[str]:
    """The settings that there are where an unknown one was given."""
    return sorted(at(location[:-1], root).get("properties", {}))


def meant(error: ValidationError, root: Schema) -> Iterator[Location]:
    """The settings that unknown ones are likely to be."""
    for detail in error.errors():
        location = detail["loc"]
        if detail["type"] == "extra_forbidden":
            close = get_close_matches(str(location[-1]), _known(location, root), n=1)
            yield from ((*location[:-1], name) for name in close)


def _meaning(schema: Schema) -> str:
    lines = schema.get("description", "").splitlines()
    return f" ({lines[0].rstrip('.')})" if lines else ""


def _examples(schema: Schema) -> str:
    return " or ".join(schema["examples"])  # tests prove that every pattern has one


def _wrong(given: Any, schema: Schema, detail: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    cause = context.get("error")
    if kind == "greater_than_equal":
        rule = f"is below the minimum of {context['ge']}{_meaning(schema)}"
    elif kind == "less_than_equal":
        rule = f"is above the maximum of {context['le']}{_meaning(schema)}"
    elif kind == "multiple_of":
        rule = f"is not a multiple of {context['multiple_of']}{_meaning(schema)}"
    elif kind == "string_pattern_mismatch":
        rule = f"has the wrong form; an example is {_examples(schema)}"
    elif schema.get("format") == "ipv4network" and "host bits" in str(cause):
        rule = f"has host bits set; did you mean {ip_network(given, strict=False)}?"
    elif type(cause) is ValueError and schema.get("format") in (None, "path", "uri"):
        return str(cause)  # a model's own rule, in its own words
    elif kind == "string_too_long":
        rule = f"has {len(given)} characters; the most is {context['max_length']}"
    elif kind == "too_long":
        rule = f"has more entries than {context['max_length']}"
    elif not schema:
        rule = f"is refused: {detail['msg']}"
    else:
        rule = f"is not {expected(schema)}"
        if isinstance(given, str) and _quoted(given, schema.get("type")):
            rule += "; write it without quotes"
        elif isinstance(given, int | float | bool) and schema.get("type") == "string":
            rule += "; write it in quotes"
    return f"{_short(given)} {rule}"


def _quoted(given: str, wanted: Any) -> bool:
    """Whether this would have been right, had it not been in quotes."""
    if wanted == "boolean":
        return given in ("true", "false")
    return wanted in ("integer", "number") and given.isdecimal()


def _short(value: Any) -> str:
    """A value as it may be shown; a collection may hold what nobody should see."""
    if isinstance(value, dict | list):
        kind = "map" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:76]}..."
