"""Values between the engine's structs and plain Python."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc

from rehearsal import wire

SCALARS = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
NAMES = st.text("abcdefgh", min_size=1, max_size=4)


@given(st.dictionaries(NAMES, VALUES))
def test_values_come_back_as_they_went(values: dict[str, Any]) -> None:
    given_ = {name: value for name, value in values.items() if value is not None}
    assert wire.plain(wire.struct(values)) == given_


@given(st.dictionaries(NAMES, VALUES, min_size=1), st.data())
def test_secrets_are_wrapped_and_known(values: dict[str, Any], data: st.DataObject) -> None:
    secrets = data.draw(st.sets(st.sampled_from(sorted(values))))
    sent = wire.struct(values, secrets)
    assert wire.secret_names(sent) == secrets
    assert wire.plain(sent).items() <= values.items()


def test_a_secret_anywhere_makes_its_property_secret() -> None:
    secret = {rpc._special_sig_key: rpc._special_secret_sig, "value": "x"}
    sent = wire.struct({"envs": ["plain", secret], "name": "web"})
    assert wire.secret_names(sent) == {"envs"}
    assert wire.plain(sent) == {"envs": ["plain", "x"], "name": "web"}


def test_every_kind_of_unknown_is_unknown() -> None:
    sent = wire.struct({str(i): text for i, text in enumerate(wire.UNKNOWN_SENTINELS)})
    assert set(wire.plain(sent).values()) == {wire.UNKNOWN}
    future = {rpc._special_sig_key: rpc._special_output_value_sig, "secret": True}
    sent = wire.struct({"password": future})
    assert wire.plain(sent) == {"password": wire.UNKNOWN}
    assert wire.secret_names(sent) == {"password"}


def test_what_is_wrapped_stays_wrapped_and_declared_secrets_are_added() -> None:
    given_ = wire.struct({"a": "1", "b": "2", "c": "3"}, ["a"])
    told = wire.merged(given_, {"d": "4", "e": "5"}, ["a", "b", "d"])
    assert wire.plain(told) == {"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}
    assert wire.secret_names(told) == {"a", "b", "d"}
    twice = rpc.deserialize_properties(told)["a"]
    assert twice["value"] == "1"
