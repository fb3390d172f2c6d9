"""The real providers of some packages: the Terraform provider that the official plugin wraps.

The plugin itself cannot be had without its vendor's downloads; the provider builds from its Go
module. Its program speaks Terraform's plugin protocol, version 6, which this module speaks too.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from toolchain.kept import cached
from toolchain.obtain import go_variables

HERE = Path(__file__).parent
# Without it a provider's program takes itself for called by hand (hashicorp/go-plugin).
COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
# Schema.NestedBlock.NestingMode, and Object's: an object, a list; the third in use is a set.
SINGLE, LIST = 1, 2
# cty's unknown value in msgpack: any extension of type 0.
UNKNOWN = msgpack.ExtType(0, b"")


class ProviderError(Exception):
    """The provider refused; its own words."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a provider's program comes from: its Go package, and the module that pins it."""

    name: str
    module: Path
    package: str


DOCKER = Source(
    name="docker",
    module=HERE / "module",
    package="github.com/terraform-providers/terraform-provider-docker",
)


def programs(source: Source) -> Path:
    """A folder with `provider` and the protocol's description; built where it is new: minutes."""
    shared = HERE / "descriptor"
    files = [*sorted(source.module.iterdir()), *sorted(shared.iterdir())]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]

    def build(folder: Path) -> None:
        said = f"building the provider {source.name} from its Go module, which takes minutes"
        print(said, file=sys.stderr, flush=True)
        here = shutil.copytree(source.module, folder / "source")
        shutil.copytree(shared, here / "descriptor")
        env = {**go_variables(), "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
        target = str(folder / "provider")
        command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", target, source.package]
        subprocess.run(command, cwd=here, env=env, check=True, stdout=sys.stderr)
        run = ["go", "run", "./descriptor"]
        text = subprocess.run(run, cwd=here, env=env, check=True, capture_output=True).stdout
        (folder / "protocol.binpb").write_bytes(text)

    return cached(f"terraform-{source.name}-{key}", build)


@cache
def _messages(source: Source) -> Mapping[str, type]:
    """The protocol's messages by name, such as `PlanResourceChange.Request`."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto.FromString(
        (programs(source) / "protocol.binpb").read_bytes()
    )
    pool.Add(file)
    found = {}
    for outer in file.message_type:
        inner = (f"{outer.name}.{one.name}" for one in outer.nested_type)
        for message in (outer.name, *inner):
            described = pool.FindMessageTypeByName(f"tfplugin6.{message}")
            found[message] = message_factory.GetMessageClass(described)
    return found


class Provider:
    """A running provider."""

    def __init__(self, source: Source, address: str) -> None:
        self._known = _messages(source)
        self._channel = grpc.insecure_channel(address)
        self.schema = self.call("GetProviderSchema")

    def call(self, name: str, **fields: Any) -> Any:
        """Ask; values named in `fields` are cty values and go as msgpack unless bytes or text."""
        known = self._known
        request = known[f"{name}.Request"](
            **{
                key: value
                if isinstance(value, bytes | str)
                else known["DynamicValue"](msgpack=msgpack.packb(value, use_bin_type=True))
                for key, value in fields.items()
            }
        )
        response: Any = known[f"{name}.Response"]
        ask: grpc.UnaryUnaryMultiCallable[Any, Any] = self._channel.unary_unary(
            f"/tfplugin6.Provider/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        answer = ask(request)
        errors = [
            f"{'.'.join(step.attribute_name for step in said.attribute.steps)} {said.summary}"
            f" {said.detail}".strip()
            for said in answer.diagnostics
            if said.severity == 1  # ERROR
        ]
        if errors:
            raise ProviderError("; ".join(errors))
        return answer

    def block(self, type_: str) -> Any:
        """The schema of a resource type, or of the provider itself for an empty name."""
        if not type_:
            return self.schema.provider.block
        return self.schema.resource_schemas[type_].block


def value(dynamic: Any) -> Any:
    """A cty value from the wire: null is None, unknown is UNKNOWN."""
    return msgpack.unpackb(dynamic.msgpack, raw=False, strict_map_key=False)


def shape(block: Any) -> dict[str, Any]:
    """Attribute or block -> its type as cty writes it in JSON."""
    made = {attribute.name: _type(attribute) for attribute in block.attributes}
    for nested in block.block_types:
        inner = ["object", shape(nested.block)]
        made[nested.type_name] = inner if nested.nesting == SINGLE else ["list", inner]
    return made


def _type(attribute: Any) -> Any:
    if not attribute.HasField("nested_type"):
        return json.loads(attribute.type)
    inner = ["object", {part.name: _type(part) for part in attribute.nested_type.attributes}]
    single = attribute.nested_type.nesting == SINGLE
    return inner if single else ["list", inner]


def proposed(block: Any, prior: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What Terraform would propose to the provider: computed values stay where none is wanted.

    `prior` is None for a new resource. Terraform's objchange.ProposedNew, for what is used here:
    attributes, and blocks in lists or sets whose computed parts follow the block's own content.
    """
    before = prior or {}
    result = {}
    for attribute in block.attributes:
        given = wanted.get(attribute.name)
        kept = given is None and attribute.computed
        result[attribute.name] = before.get(attribute.name) if kept else given
    for nested in block.block_types:
        if nested.nesting == SINGLE:  # time-outs, which the program does not give
            result[nested.type_name] = wanted.get(nested.type_name)
            continue
        old = list(before.get(nested.type_name) or [])
        rows = []
        for place, row in enumerate(wanted.get(nested.type_name) or []):
            agreeing = (one for one in old if _agrees(row, one))
            same = old[place : place + 1] if nested.nesting == LIST else list(agreeing)
            rows.append(proposed(nested.block, next(iter(same), None), row))
        result[nested.type_name] = rows
    return result


def _agrees(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    return all(there.get(key) == part for key, part in wanted.items() if part not in (None, []))


def settled(given: Any) -> Any:
    """A value such that two that mean the same are equal.

    Providers on Terraform's older SDK do not tell zero from null, and their sets have no order.
    """
    if isinstance(given, Mapping):
        parts = {key: settled(part) for key, part in given.items()}
        return {
            key: part for key, part in parts.items() if part not in (None, "", 0, False, [], {})
        }
    if isinstance(given, list):
        return sorted((settled(part) for part in given), key=repr)
    return given


@contextmanager
def running(source: Source, folder: Path, env: Mapping[str, str]) -> Iterator[Provider]:
    """Run a provider with these variables; its log is in `folder`.

    It ends with this process, even where that is killed.
    """
    own = {"TF_PLUGIN_MAGIC_COOKIE": COOKIE, "PLUGIN_PROTOCOL_VERSIONS": "6"}
    program = str(programs(source) / "provider")
    with (folder / "provider.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", program],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**env, **own, "TMPDIR": str(folder)},
        )
    try:
        # go-plugin's handshake: CORE|PROTOCOL|NETWORK|ADDRESS|TRANSPORT|...
        said = process.stdout.readline().decode() if process.stdout else ""
        if said.count("|") < 4:
            raise ProviderError(f"the provider {source.name} did not start: {said.strip()}")
        yield Provider(source, f"unix:{said.split('|')[3]}")
    finally:
        process.terminate()
        process.wait(15)
