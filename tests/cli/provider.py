"""A provider with a world of named things, for what `./lab repair` must do after a kill."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc


@dataclass
class Things:
    """The world: id -> properties. Names are unique, as on a Docker engine."""

    there: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: int = 0
    before_answer: Callable[[str, str], None] = lambda _operation, _name: None

    def find(self, _kind: str, inputs: Any, _provider: Any) -> str | None:
        """The id of the thing with that name, as cli.lookup.find gives it."""
        return next((i for i, thing in self.there.items() if thing["name"] == inputs["name"]), None)


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    """A protobuf struct of plain values."""
    made = struct_pb2.Struct()
    made.update(values)
    return made


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Creates, reads, updates and deletes in `Things`."""

    def __init__(self, things: Things) -> None:
        self.things = things

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=False, accept_outputs=False)

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="1.0.0")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse()

    def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:
        old = json_format.MessageToDict(request.old_inputs)
        new = json_format.MessageToDict(request.news)
        changed = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
        kind = provider_pb2.DiffResponse.DIFF_SOME if changed else None
        return provider_pb2.DiffResponse(
            changes=kind or provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=[key for key in changed if key == "image"],
            deleteBeforeReplace=True,
        )

    def Create(self, request: Any, context: Any) -> Any:
        properties = json_format.MessageToDict(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        if self.things.find("", properties, {}):
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{properties['name']} is in use")
        self.things.created += 1
        own = request.urn.split("::")[2].endswith(":Volume")  # on Docker its name is its id
        made = properties["name"] if own else f"id-{self.things.created}"
        self.things.there[made] = properties
        self.things.before_answer("create", properties["name"])
        return provider_pb2.CreateResponse(id=made, properties=request.properties)

    def Update(self, request: Any, context: Any) -> Any:
        if not request.preview:
            self.things.there[request.id] = json_format.MessageToDict(request.news)
            self.things.before_answer("update", self.things.there[request.id]["name"])
        return provider_pb2.UpdateResponse(properties=request.news)

    def Read(self, request: Any, context: Any) -> Any:
        thing = self.things.there.get(request.id)
        if thing is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id, properties=struct(thing), inputs=struct(thing)
        )

    def Delete(self, request: Any, context: Any) -> Any:
        gone = self.things.there.pop(request.id)
        self.things.before_answer("delete", gone["name"])
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


@contextmanager
def serving(things: Things) -> Iterator[int]:
    """Serve the provider on a port of the loopback interface."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(things), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None)
