"""Stack files (Pulumi.<env>.yaml), read as Pulumi reads them."""

import re
from pathlib import Path
from typing import Any

import yaml


class _PulumiLoader(yaml.SafeLoader):
    """YAML 1.2's core schema, as Pulumi's Go parser resolves it.

    PyYAML's YAML 1.1 would make a bool of `yes`, a date of 2026-01-01 and a number of 10:20:30.
    """


_PulumiLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    _PulumiLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), [c if c != "\0" else "" for c in _first]
    )


def read_config(path: Path) -> dict[str, Any]:
    """The `config` map of a stack file; OSError, yaml.YAMLError or ValueError when there is none."""
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=_PulumiLoader)  # noqa: S506
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise ValueError("there is no `config` map in it")
    return config
