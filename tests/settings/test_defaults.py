"""Defaults by kind of target: of fields, and of models that are fields."""

from typing import Annotated

import pytest

from settings.base import Model
from settings.defaults import ByTarget, always, filled, unlisted


class Entry(Model):
    """What a map, a list or a field holds."""

    size: Annotated[int, ByTarget(docker=1)] = 2
    parts: Annotated[dict[str, int], always({"one": 1})]


class Whole(Model):
    """One of each."""

    part: Entry
    choice: Entry | None = None
    by_name: dict[str, Entry]
    listed: tuple[Entry, ...] = ()


def test_a_model_that_is_a_field_is_filled() -> None:
    assert filled(Whole, {}, "docker") == {"part": {"size": 1, "parts": {"one": 1}}}
    assert filled(Whole, {"choice": {"size": 5}}, "proxmox") == {
        "part": {"parts": {"one": 1}},
        "choice": {"size": 5, "parts": {"one": 1}},
    }


@pytest.mark.parametrize("entries", [{"a": {"size": 5}}, {}])
def test_no_field_of_an_entry_becomes_an_entry(entries: dict[str, object]) -> None:
    """A map is not a model: `size` and `parts` would be names in it."""
    given = {"part": {}, "choice": {}, "by_name": entries}
    whole = {"size": 1, "parts": {"one": 1}}
    assert filled(Whole, given, "docker") == {"part": whole, "choice": whole, "by_name": entries}
    assert list(unlisted(Whole, given, "docker")) == [
        ("part", "parts", "one"),
        ("choice", "parts", "one"),
    ]


def test_entries_of_a_list_stay_as_they_are() -> None:
    given = {"listed": [{"size": 5}, {}]}
    assert filled(Whole, given, "docker")["listed"] == given["listed"]
