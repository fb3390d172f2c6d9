"""The catalogue knows every type that the program registers, and names only what SDKs have."""

import re
from functools import cache

import pytest

from cli.lib.repair import import_ids
from rehearsal import catalogue, sdk
from rehearsal.refusals import table
from tests.harness.deploy import shared
from tests.layers.containers import VARIANTS, world
from tests.layers.test_data import CHANGE

KINDS = catalogue.kinds()


@cache
def used() -> frozenset[str]:
    """Every type in either environment, with GitLab and without, and of entries of one's own."""
    layers = [layer for variant in VARIANTS for layer in world(variant).values()]
    layers += shared("dev", CHANGE, layers=("foundation", "services")).values()
    found = {r.type for layer in layers for r in layer.resources if r.custom}
    return frozenset(type_ for type_ in found if not type_.startswith("pulumi:"))


def test_every_type_of_the_program_is_known() -> None:
    assert used() <= KINDS.keys()


def test_no_type_is_known_that_nobody_makes() -> None:
    assert used() >= KINDS.keys()


def test_every_type_of_the_program_can_be_repaired() -> None:
    assert used() <= import_ids().keys()


@pytest.mark.parametrize("token", sorted(KINDS))
def test_rows_name_what_the_sdk_has(token: str) -> None:
    kind = KINDS[token]
    shape = sdk.shape(token.partition(":")[0], token)
    assert shape is not None
    inputs = sdk.properties(shape.inputs)
    paths = {*kind.replaces, *kind.keeps, *kind.unique, *kind.computed} - {"all"}
    paths |= {need.property for need in kind.needs}
    assert {re.split(r"[.[]", path)[0] for path in paths} <= inputs.keys()
    fields = set(re.findall(r"\{(\w+)", kind.id)) - {"serial"}
    made_up = {field for field in fields if re.fullmatch(r"hex\d+", field)}
    assert fields - made_up <= inputs.keys() | shape.outputs
    assert set(kind.unread) <= shape.outputs
    assert kind.source


@pytest.mark.parametrize("token", sorted(KINDS))
def test_rows_refuse_what_the_table_has(token: str) -> None:
    kind = KINDS[token]
    refusals = {kind.taken, *(w for need in kind.needs for w in (need.missing, need.holds))}
    assert refusals - {None} <= table().keys()
    for need in kind.needs:
        assert need.type in KINDS


def test_an_id_is_filled_in() -> None:
    assert catalogue.render("{path|{type}}", {"type": "file"}) == "file"
    assert catalogue.render("{project}:{key}:{scope|*}", {"project": 7, "key": "K"}) == "7:K:*"
    assert re.fullmatch(r"[0-9a-f]{64}", catalogue.render("{hex64}", {}))
    with pytest.raises(KeyError):
        catalogue.render("{bucket}", {})


def test_a_path_reaches_into_lists() -> None:
    values = {"networks": [{"name": "a"}, {"alias": "b"}, {"name": "c"}], "disk": {"size": 3}}
    assert list(catalogue.at(values, "networks[].name")) == ["a", "c"]
    assert list(catalogue.at(values, "disk.size")) == [3]
    assert list(catalogue.at(values, "none[].x.y")) == []
