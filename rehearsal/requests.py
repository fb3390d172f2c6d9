"""What the engine's calls have in common: how they name a thing, and the bridge's own words."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2

from rehearsal import check, wire

# The bridge's mark of inputs that it made up itself (pulumi-terraform-bridge, pkg/tfbridge).
DEFAULTS = "__defaults"


def id_of(id_: str, known: Mapping[str, Any]) -> str:
    """A thing's id: an update may have changed it, and the engine keeps the first.

    The bridge goes by the property (pulumi-terraform-bridge pkg/pf/tfbridge/provider_update.go).
    """
    return str(known.get("id") or id_)


def settings(args: Struct) -> dict[str, Any]:
    values = wire.plain(args)
    return {k: v for k, v in values.items() if k not in ("version", "pluginDownloadURL")}


def without_defaults(properties: Struct) -> Struct:
    result = Struct()
    result.CopyFrom(properties)
    result.fields.pop(DEFAULTS, None)
    return result


def token_of(request: Any) -> str:
    return str(request.type or request.urn.split("::")[2].rpartition("$")[2])


def name_of(request: Any) -> str:
    return str(request.name or request.urn.split("::", 3)[3])


def failures(name: str, faults: Iterable[check.Fault]) -> list[provider_pb2.CheckFailure]:
    """In the bridge's words. Without `property`, for which the engine would print the value."""
    return [
        provider_pb2.CheckFailure(
            reason=f"{fault.reason}. Examine values at '{name}.{fault.path}'."
        )
        for fault in faults
    ]
