"""Property values between the engine's protobuf structs and plain Python.

A value may be unknown (a preview's future output), secret, or an output with dependencies; the
markers are those of pulumi's `sdk/go/common/resource` (`Secret`, `OutputValue`, `Computed`).
Physics works on plain values; what goes back to the engine keeps the wrapping it came with.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value
from pulumi.runtime import rpc

SIGNATURE: Final = rpc._special_sig_key
SECRET: Final = rpc._special_secret_sig
OUTPUT: Final = rpc._special_output_value_sig
RESOURCE: Final = rpc._special_resource_sig


class Unknown:
    """A value that a preview cannot know yet."""

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN: Final = Unknown()
# One sentinel for each kind of unknown value: pulumi sdk/go/common/resource/plugin/rpc.go.
UNKNOWN_SENTINELS: Final = frozenset(
    {
        rpc.UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


def _plain(value: Value) -> Any:  # noqa: PLR0911  one return for each kind of value
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        signature = fields[SIGNATURE].string_value if SIGNATURE in fields else ""
        if signature in (SECRET, OUTPUT):
            return _plain(fields["value"]) if "value" in fields else UNKNOWN
        if signature == RESOURCE:
            return fields["urn"].string_value
        return {name: _plain(field) for name, field in fields.items()}
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind == "string_value":
        return UNKNOWN if value.string_value in UNKNOWN_SENTINELS else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    return None


def plain(struct: Struct) -> dict[str, Any]:
    """The struct without wrapping; nulls and the bridge's own `__` fields are left out."""
    values = {name: _plain(value) for name, value in struct.fields.items()}
    return {k: v for k, v in values.items() if v is not None and not k.startswith("__")}


def _holds_secret(value: Value) -> bool:
    if value.HasField("struct_value"):
        fields = value.struct_value.fields
        signature = fields[SIGNATURE].string_value if SIGNATURE in fields else ""
        if signature == SECRET or (signature == OUTPUT and fields["secret"].bool_value):
            return True
        return any(_holds_secret(field) for field in fields.values())
    if value.HasField("list_value"):
        return any(_holds_secret(item) for item in value.list_value.values)
    return False


def secret_names(struct: Struct) -> set[str]:
    """Names of the top-level properties that are secret, wholly or in some part."""
    return {name for name, value in struct.fields.items() if _holds_secret(value)}


def _wired(value: Any) -> Any:
    if isinstance(value, Unknown):
        return rpc.UNKNOWN
    if isinstance(value, Mapping):
        return {name: _wired(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_wired(item) for item in value]
    return value


def struct(values: Mapping[str, Any], secrets: Collection[str] = ()) -> Struct:
    """`values` for the engine; the properties named in `secrets` are wrapped whole."""
    wired = {
        name: {SIGNATURE: SECRET, "value": _wired(value)} if name in secrets else _wired(value)
        for name, value in values.items()
    }
    result = Struct()
    result.update(wired)
    return result


def merged(
    base: Struct, values: Mapping[str, Any], secrets: Collection[str], wrapped: Collection[str]
) -> Struct:
    """`base` with `values` on top.

    What `base` has wrapped stays wrapped; `secrets` names properties of either to wrap whole;
    `wrapped` those of `base` that are so already.
    """
    result = Struct()
    result.CopyFrom(base)
    result.MergeFrom(struct(values, secrets))
    late = {name for name in secrets if name in base.fields and name not in {*values, *wrapped}}
    if late:
        result.MergeFrom(struct({name: _plain(base.fields[name]) for name in late}, late))
    return result
