"""Property values between the engine's protobuf structs and plain Python.

A value may be unknown (a preview's future output), secret, or an output with dependencies. Rules
work on plain values; what goes back to the engine keeps the wrapping it came with.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value

# The protocol's marks: pulumi sdk/go/common/resource/sig/sig.go.
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a published constant
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
# One sentinel for each kind of unknown value: pulumi sdk/go/common/resource/plugin/rpc.go.
UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWN_SENTINELS: Final = frozenset(
    {
        UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


class Unknown:
    """A value that a preview cannot know yet."""

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN: Final = Unknown()


def _signature(value: Value) -> str:
    fields = value.struct_value.fields
    return fields[SIGNATURE].string_value if SIGNATURE in fields else ""


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        if _signature(value) in (SECRET, OUTPUT):
            return _plain(fields["value"]) if "value" in fields else UNKNOWN
        if _signature(value) == RESOURCE:
            return fields["urn"].string_value
        return {name: _plain(field) for name, field in fields.items()}
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    found = getattr(value, kind) if kind not in (None, "null_value") else None
    if isinstance(found, float) and found.is_integer():
        return int(found)
    return UNKNOWN if isinstance(found, str) and found in UNKNOWN_SENTINELS else found


def plain(struct: Struct) -> dict[str, Any]:
    """The struct without wrapping; nulls and the bridge's own `__` fields are left out."""
    values = {name: _plain(value) for name, value in struct.fields.items()}
    return {k: v for k, v in values.items() if v is not None and not k.startswith("__")}


def _holds_secret(value: Value) -> bool:
    fields, signature = value.struct_value.fields, _signature(value)
    if signature == SECRET or (signature == OUTPUT and fields["secret"].bool_value):
        return True
    return any(map(_holds_secret, [*fields.values(), *value.list_value.values]))


def secret_names(struct: Struct) -> set[str]:
    """Names of the top-level properties that are secret, wholly or in some part."""
    return {name for name, value in struct.fields.items() if _holds_secret(value)}


def _wired(value: Any) -> Any:
    if isinstance(value, Unknown):
        return UNKNOWN_TEXT
    if isinstance(value, Mapping):
        return {name: _wired(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_wired(item) for item in value]
    return value


def struct(values: Mapping[str, Any], secrets: Collection[str] = ()) -> Struct:
    """`values` for the engine; the properties named in `secrets` are wrapped whole."""
    result = Struct()
    for name, value in values.items():
        wired = _wired(value)
        result[name] = {SIGNATURE: SECRET, "value": wired} if name in secrets else wired
    return result


def merged(base: Struct, values: Mapping[str, Any], secrets: Collection[str]) -> Struct:
    """`base` and what is new in `values`; `secrets` names what is wrapped whole, unless it is."""
    result = struct({k: v for k, v in values.items() if k not in base.fields}, secrets)
    for name, value in base.fields.items():
        target = result.fields[name]
        if name in secrets and not _holds_secret(value):
            result[name] = {SIGNATURE: SECRET}
            target = result.fields[name].struct_value.fields["value"]
        target.CopyFrom(value)
    return result
