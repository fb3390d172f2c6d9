"""Pages that are made from the code are current and complete."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from docs.generate import FOLDER, PAGES, text
from settings import ENVIRONMENTS, schema
from settings.images import Catalogue
from tests.harness.patched import sample


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "resources.md")) for name in PAGES],
)
def test_page_is_current(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == text(name), "python -m docs.generate"


def test_every_setting_of_a_stack_file_is_described() -> None:
    page = text("settings.md")
    for environment in ENVIRONMENTS:
        for layer, sections in sample(environment).items():
            for name, section in sections.items():
                key = f"{layer.removeprefix('datalab:')}.{name}"
                inner = section if isinstance(section, dict) else {}
                keys = [f"{key}.{part}" for part in inner] or [key]
                for described in keys:
                    assert f"`{described}" in page, described


def test_what_every_key_of_every_model_means_is_on_the_page() -> None:
    page = text("settings.md")
    meanings = {
        f"{name}.{key}": " ".join(field.get("description", "").split()).rstrip(".")
        for name, model in schema()["$defs"].items()
        for key, field in model["properties"].items()
        if key != "kind" and "$ref" not in field  # a kind and a section have words of their own
    }
    assert [key for key, meaning in meanings.items() if meaning not in page] == []


def test_every_row_says_what_it_means() -> None:
    rows = [line.split(" | ") for line in text("settings.md").splitlines() if line[:3] == "| `"]
    assert len(rows) > 100
    assert not [row[0] for row in rows if len(row) > 3 and not row[3].strip(" |")]


def patterns(part: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that has a pattern for text or for the names in a map."""
    for value in part.values() if isinstance(part, dict) else ():
        yield from patterns(value)
    if isinstance(part, dict) and isinstance(part.get("pattern"), str):
        yield part
    if isinstance(part, dict) and isinstance(part.get("propertyNames"), dict):
        (pattern,) = part["patternProperties"]
        yield {"pattern": pattern, **part["propertyNames"]}


def test_every_pattern_has_examples_that_match() -> None:
    found = [*patterns(schema()), *patterns(Catalogue.model_json_schema())]
    assert len(found) > 10
    for part in found:
        assert part.get("examples"), part
        for example in [*part["examples"], *filter(None, [part.get("default")])]:
            assert re.search(part["pattern"], example), part


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_editors_see_no_fault_in_a_sound_file(environment: str) -> None:
    checker = jsonschema.Draft202012Validator(json.loads(text("settings.schema.json")))
    config = sample(environment)
    assert list(checker.iter_errors({"config": config})) == []
    config["datalab:common"]["domian"] = "lab.home.arpa"
    assert [error.validator for error in checker.iter_errors({"config": config})] == [
        "additionalProperties"
    ]
