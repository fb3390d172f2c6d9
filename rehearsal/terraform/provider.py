"""A package's resources by the real provider that its plugin wraps; see rehearsal.terraform.

The engine gets this in place of the simulator.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgpack
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from rehearsal import servers, terraform, wire
from rehearsal.simulator import Simulator, name_of, settings, token_of
from rehearsal.terraform import Provider, ProviderError
from rehearsal.wire import Unknown
from rehearsal.world import World

# Where the state holds Terraform's own: the bridge keeps it in `__meta` and in the outputs.
STATE = "terraformState"
NO_STATE: tuple[None, bytes] = (None, b"")


def spellings(name: str) -> tuple[str, ...]:
    """How the package may spell a Terraform name: in camel case, and lists in the plural."""
    head, *rest = name.split("_")
    camel = head + "".join(word.capitalize() for word in rest)
    return (camel, f"{camel}s", f"{camel}es")


def translated(given: Any, type_: Any) -> Any:
    """A property's value as cty has it; LookupError for a name that the provider does not know."""
    if isinstance(given, Unknown):
        return terraform.UNKNOWN
    if isinstance(type_, str):
        # The engine hands a provider's own numbers and truths on as text.
        text = isinstance(given, str) and type_ in ("bool", "number")
        return json.loads(given) if text else given
    if given is None:
        return None
    outer, inner = type_
    if outer == "map":
        return {key: translated(part, inner) for key, part in given.items()}
    if outer in ("list", "set"):
        # The package has an object where Terraform has a list of at most one.
        rows = given if isinstance(given, list) else [given]
        return [translated(row, inner) for row in rows]
    own = {spellings(name)[0] for name in inner}
    found = {}
    for name in inner:
        first, *plurals = spellings(name)
        known = [first, *(plural for plural in plurals if plural not in own)]
        found[name] = next((spelling for spelling in known if spelling in given), "")
    if wrong := given.keys() - found.values():
        raise LookupError(f"the provider has no property {', '.join(sorted(wrong))}")
    return {
        name: translated(given.get(found[name]), inner[name]) if found[name] else None
        for name in inner
    }


def keep(wanted: Any, before: Any, path: list[str]) -> None:
    """Put back what is ignored at `path` (the package's names and numbers), as the bridge does."""
    if isinstance(wanted, list):
        place, rest = (int(path[0]), path[1:]) if path[0].isdecimal() else (0, path)
        if place < min(len(wanted), len(before or [])):
            keep(wanted[place], before[place], rest)
        return
    name = next((key for key in wanted if path[0] in spellings(key)), None)
    if name is None or not isinstance(before, Mapping):
        return
    if not path[1:]:
        wanted[name] = before.get(name)
    elif wanted[name] is not None:
        keep(wanted[name], before.get(name), path[1:])


class RealProvider(Simulator):
    """The package's servicer.

    `kind` gives the Terraform type of a resource type, None for what the plugin adds in its own
    code: that stays the simulator's.
    """

    def __init__(
        self, package: str, world: World, provider: Provider, kind: Callable[[str], str | None]
    ) -> None:
        super().__init__(package, world)
        self.provider = provider
        self.kind = kind

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        schema = ["object", terraform.shape(self.provider.block(""))]
        config = translated(settings(request.args), schema)
        self._asked(context, "ConfigureProvider", config=config)
        return super().Configure(request, context)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        answer = super().Check(request, context)
        if self.kind(token_of(request)) is None or answer.failures:
            return answer
        try:
            type_, wanted = self._wanted(request, request.news)
            self.provider.call("ValidateResourceConfig", type_name=type_, config=wanted)
        except (ProviderError, LookupError) as error:
            fault = provider_pb2.CheckFailure(reason=f"{name_of(request)}: {error}")
            answer.failures.append(fault)
        return answer

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.kind(token_of(request)) is None:
            return super().Diff(request, context)
        before, private = held(request.olds)
        type_, wanted = self._wanted(request, request.news, before)
        planned = self._planned(context, type_, wanted, before, private)
        after = terraform.value(planned.planned_state)
        changed = {
            name
            for name in after
            if terraform.settled(after[name]) != terraform.settled(before.get(name))
        }
        forcing = {path.steps[0].attribute_name for path in planned.requires_replace}
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if changed else response.DIFF_NONE,
            diffs=sorted(spellings(name)[0] for name in changed),
            replaces=sorted(spellings(name)[0] for name in changed & forcing),
        )

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.kind(token_of(request)) is None:
            return super().Create(request, context)
        answer = provider_pb2.CreateResponse
        state, properties = self._applied(request, context, request.properties, NO_STATE)
        return answer(id="" if request.preview else state["id"], properties=properties)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.kind(token_of(request)) is None:
            return super().Update(request, context)
        _, properties = self._applied(request, context, request.news, held(request.olds))
        return provider_pb2.UpdateResponse(properties=properties)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.kind(token_of(request)) is None:
            return super().Delete(request, context)
        before, private = held(request.properties)
        self._asked(
            context,
            "ApplyResourceChange",
            type_name=self.kind(token_of(request)),
            prior_state=before,
            planned_state=None,
            config=None,
            planned_private=private,
        )
        return Simulator.Cancel(self, request, context)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.kind(token_of(request)) is None:
            return super().Read(request, context)
        type_ = self.kind(token_of(request))
        if STATE in request.properties.fields:
            state, private = held(request.properties)
        else:
            found = self._asked(context, "ImportResourceState", type_name=type_, id=request.id)
            imported = found.imported_resources[0]
            state, private = terraform.value(imported.state), imported.private
        answer = self._asked(
            context, "ReadResource", type_name=type_, current_state=state, private=private
        )
        state = terraform.value(answer.new_state)
        if state is None:
            return provider_pb2.ReadResponse()
        properties = told(wire.plain(request.inputs), state, answer.private)
        return provider_pb2.ReadResponse(
            id=request.id, properties=properties, inputs=request.inputs
        )

    def _wanted(self, request: Any, properties: Any, before: Any = None) -> tuple[str, Any]:
        type_ = self.kind(token_of(request)) or ""
        shape = ["object", terraform.shape(self.provider.block(type_))]
        wanted = translated(wire.plain(properties), shape)
        for path in request.ignoreChanges if before else ():
            keep(wanted, before, re.findall(r"\w+", path))
        return type_, wanted

    def _planned(
        self,
        context: grpc.ServicerContext,
        type_: str,
        wanted: Any,
        before: Any,
        private: bytes,
    ) -> Any:
        return self._asked(
            context,
            "PlanResourceChange",
            type_name=type_,
            prior_state=before,
            proposed_new_state=terraform.proposed(self.provider.block(type_), before, wanted),
            config=wanted,
            prior_private=private,
        )

    def _applied(
        self, request: Any, context: grpc.ServicerContext, properties: Any, held_: tuple[Any, bytes]
    ) -> tuple[Any, Any]:
        """The new state, and what the engine is told; in a preview what is planned."""
        before, private = held_
        type_, wanted = self._wanted(request, properties, before)
        planned = self._planned(context, type_, wanted, before, private)
        given = wire.plain(properties)
        if request.preview:
            state = terraform.value(planned.planned_state)
            return state, told(given, state, planned.planned_private)
        answer = self._asked(
            context,
            "ApplyResourceChange",
            type_name=type_,
            prior_state=before,
            planned_state=terraform.value(planned.planned_state),
            config=wanted,
            planned_private=planned.planned_private,
        )
        state = terraform.value(answer.new_state)
        return state, told(given, state, answer.private)

    def _asked(self, context: grpc.ServicerContext, name: str, **fields: Any) -> Any:
        try:
            return self.provider.call(name, **fields)
        except ProviderError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))


def told(given: Mapping[str, Any], state: Mapping[str, Any], private: bytes) -> Any:
    """What the engine gets: inputs, what the provider adds to them, and its own state."""
    added = {
        spellings(name)[0]: wire.UNKNOWN if isinstance(part, msgpack.ExtType) else part
        for name, part in state.items()
        if isinstance(part, str | bool | int | msgpack.ExtType)
    }
    text = base64.b64encode(msgpack.packb([state, private], use_bin_type=True)).decode()
    return wire.struct({**added, **given, STATE: text})


def held(properties: Any) -> tuple[Any, bytes]:
    """Terraform's state of a resource and the provider's private part of it."""
    text = wire.plain(properties)[STATE]
    state, private = msgpack.unpackb(base64.b64decode(text), raw=False, strict_map_key=False)
    return state, private


@contextmanager
def served(folder: Path, servicer: RealProvider) -> Iterator[None]:
    """Serve a package in its simulator's place; `folder` has the simulators' executables."""
    server = grpc.server(futures.ThreadPoolExecutor(servers.THREADS))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    executable = folder / f"pulumi-resource-{servicer.package}"
    executable.write_text(servers.EXECUTABLE.format(port=port))
    try:
        yield
    finally:
        server.stop(grace=None).wait()
