"""GitLab's checks of `spec:inputs`, as https://docs.gitlab.com/ci/inputs/ has them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

TYPES: dict[str, Any] = {"string": str, "number": (int, float), "boolean": bool, "array": list}


class InputError(Exception):
    """What GitLab answers to a wrong input."""


def declared(file: Path) -> dict[str, dict[str, Any]]:
    """The inputs that the header of a CI file declares."""
    header = next(iter(yaml.safe_load_all(file.read_text())))
    inputs = (header or {}).get("spec", {}).get("inputs", {})
    return {name: rules or {} for name, rules in inputs.items()}


def check_inputs(
    rules: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> dict[str, Any]:
    """All inputs with their values; InputError for one that is unknown, missing or wrong."""
    for name in given:
        if name not in rules:
            raise InputError(f"Given inputs not defined in the `spec` section: {name}")
    values = {}
    for name, rule in rules.items():
        if name not in given and "default" not in rule:
            raise InputError(f"`{name}` input: required value has not been provided")
        value = given.get(name, rule.get("default"))
        kind = TYPES[rule.get("type", "string")]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(
                f"`{name}` input: provided value is not a {rule.get('type', 'string')}"
            )
        if "options" in rule and value not in rule["options"]:
            raise InputError(f"`{name}` input: `{value}` cannot be used")
        if "regex" in rule and not re.search(rule["regex"], str(value)):
            raise InputError(
                f"`{name}` input: provided value does not match required RegEx pattern"
            )
        values[name] = value
    return values
