"""From what pydantic found to what a person can mend: where, what was given, the rule."""

import json
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Any

from pydantic import ValidationError

Location = tuple[str | int, ...]
Schema = dict[str, Any]

_FORMATS = {
    "ipv4": "an IPv4 address such as 192.168.1.10",
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


def dotted(location: Sequence[str | int]) -> str:
    """A location as Pulumi writes paths: `platform.gitlab.port`, `models[0]`, `topics["a b"]`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]{1,80}", part, re.ASCII):
            text += f".{part}" if text else part
        else:
            text += f"[{_short(part)}]"
    return text


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
    if "pattern" in schema:
        examples = " or ".join(f"`{example}`" for example in schema.get("examples", ()))
        return f"text such as {examples}" if examples else f"text like {schema['pattern']}"
    text = _FORMATS.get(schema.get("format", ""), _TYPES.get(schema.get("type", ""), "a value"))
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        text += f" from {least} to {most}" if most is not None else f" of at least {least}"
    if "maxLength" in schema:
        text += f" of at most {schema['maxLength']} characters"
    if "minItems" in schema:
        text += f" of {schema['minItems']} to {schema.get('maxItems', 'any number of')} entries"
    return text


def resolve(schema: Schema, root: Schema) -> Schema:
    """A schema without references and without `or null`."""
    branches = [branch for branch in schema.get("anyOf", ()) if branch.get("type") != "null"]
    if len(branches) == 1:
        schema = {**schema, **branches[0]}
    if "$ref" in schema:
        target: Schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        schema = {**target, **{k: v for k, v in schema.items() if k == "default"}}
    return schema


def at(location: Location, root: Schema) -> Schema:
    """The schema of the setting at a location; empty where there can be none."""
    schema = root
    for part in location:
        if isinstance(part, int):
            inner = schema.get("items", {})
        else:
            maps = (
                schema.get("additionalProperties"),
                *schema.get("patternProperties", {}).values(),
            )
            inner = schema.get("properties", {}).get(part) or next(filter(None, maps), None)
        schema = resolve(inner, root) if isinstance(inner, dict) else {}
    return schema


def secrets_in(value: Any, location: Location = ()) -> Iterator[Location]:
    """Where Pulumi secrets (`secure: ...`) stand in a tree."""
    if isinstance(value, dict) and set(value) == {"secure"} and isinstance(value["secure"], str):
        yield location
        return
    parts = (
        range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
    )
    for part in parts:
        yield from secrets_in(value[part], (*location, part))


def explain(error: ValidationError, root: Schema) -> Iterator[tuple[Location, str]]:
    """(location, message) of every fault that pydantic found."""
    for detail in error.errors():
        location, kind, given = detail["loc"], detail["type"], detail["input"]
        if location and location[-1] == "[key]":
            location = location[:-1]
            parent = at(location[:-1], root)
            pattern = next(iter(parent.get("patternProperties", ())), "")
            rule = expected({"pattern": pattern, **parent.get("propertyNames", {})})
            yield location, f"the key {_short(location[-1])} is not {rule}"
        elif kind == "extra_forbidden":
            known = sorted(at(location[:-1], root).get("properties", {}))
            yield location, f"is no setting; {suggestion(str(location[-1]), known)}"
        elif kind == "missing":
            schema = at(location, root)
            meaning = schema.get("description", "").splitlines()
            hint = f" ({meaning[0].rstrip('.')})" if meaning else ""
            yield location, f"is missing; give it {expected(schema)}{hint}"
        else:
            yield location, _wrong(given, at(location, root), detail)


def _wrong(given: Any, schema: Schema, detail: Any) -> str:
    cause = detail.get("ctx", {}).get("error")
    if schema.get("format") == "ipv4network" and isinstance(given, str):
        try:
            return f"{given} has host bits set; did you mean {ip_network(given, strict=False)}?"
        except ValueError:
            pass
    elif type(cause) is ValueError:  # a model's own rule, in its own words
        return str(cause)
    text = f"{_short(given)} is not {expected(schema) if schema else detail['msg']}"
    if isinstance(given, str) and schema.get("type") in ("integer", "number", "boolean"):
        text += "; write it without quotes"
    return text


def _short(value: Any) -> str:
    """A value as it may be shown; a collection may hold what nobody should see."""
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:76]}..."
