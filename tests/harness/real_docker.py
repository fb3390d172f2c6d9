"""pulumi-docker's resources on a real engine, by the real provider; see tests.harness.terraform.

The engine gets this in place of the stand-in. What the official plugin adds in its own code,
`docker.Image`, stays the stand-in's: it only names an image that the test has made.
"""

import base64
import io
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgpack
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from rehearsal import servers, wire
from rehearsal.physics.docker import BUILD
from rehearsal.stand_in import StandIn, _name, _settings, _token
from rehearsal.wire import Unknown
from rehearsal.world import World
from tests.harness import terraform
from tests.harness.terraform import Provider, ProviderError

# Where the state holds Terraform's own: the bridge keeps it in `__meta` and in the outputs.
STATE = "terraformState"
# What entry points and health checks call.
PROGRAMS = (
    *("bash", "curl", "mc", "nginx", "node", "ollama", "pg_isready", "python", "setpriv", "sh"),
    *("gitlab-runner", "wget"),
)
NO_STATE: tuple[None, bytes] = (None, b"")


def kind(token: str) -> str:
    """The Terraform type of a resource type of the package."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", token.rpartition(":")[2]).lower()
    return f"docker_{name.removeprefix('remote_')}"


def spellings(name: str) -> tuple[str, ...]:
    """How the package may spell a Terraform name: in camel case, and lists in the plural."""
    head, *rest = name.split("_")
    camel = head + "".join(word.capitalize() for word in rest)
    return (camel, f"{camel}s", f"{camel}es")


def translated(given: Any, type_: Any) -> Any:
    """A property's value as cty has it; LookupError for a name that the provider does not know."""
    if isinstance(given, Unknown):
        return terraform.UNKNOWN
    if given is None or isinstance(type_, str):
        return given
    outer, inner = type_
    if outer == "map":
        return {key: translated(part, inner) for key, part in given.items()}
    if outer in ("list", "set"):
        # The package has an object where Terraform has a list of at most one.
        rows = given if isinstance(given, list) else [given]
        return [translated(row, inner) for row in rows]
    found = {name: next((s for s in spellings(name) if s in given), "") for name in inner}
    if wrong := given.keys() - found.values():
        raise LookupError(f"the provider has no property {', '.join(sorted(wrong))}")
    return {
        name: translated(given.get(found[name]), inner[name]) if found[name] else None
        for name in inner
    }


class RealDocker(StandIn):
    """The package's servicer: a real provider for all but built images."""

    def __init__(self, world: World, provider: Provider) -> None:
        super().__init__("docker", world)
        self.provider = provider

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        schema = ["object", terraform.shape(self.provider.block(""))]
        config = translated(_settings(request.args), schema)
        self._asked(context, "ConfigureProvider", config=config)
        return super().Configure(request, context)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        answer = super().Check(request, context)
        if _token(request) == BUILD or answer.failures:
            return answer
        try:
            type_, wanted = self._wanted(request, request.news)
            self.provider.call("ValidateResourceConfig", type_name=type_, config=wanted)
        except (ProviderError, LookupError) as error:
            fault = provider_pb2.CheckFailure(reason=f"{_name(request)}: {error}")
            answer.failures.append(fault)
        return answer

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        if _token(request) == BUILD:
            return super().Diff(request, context)
        type_, wanted = self._wanted(request, request.news)
        before, private = held(request.olds)
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
        if _token(request) == BUILD:
            return super().Create(request, context)
        answer = provider_pb2.CreateResponse
        state, properties = self._applied(request, context, request.properties, NO_STATE)
        return answer(id="" if request.preview else state["id"], properties=properties)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        if _token(request) == BUILD:
            return super().Update(request, context)
        _, properties = self._applied(request, context, request.news, held(request.olds))
        return provider_pb2.UpdateResponse(properties=properties)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        if _token(request) == BUILD:
            return super().Delete(request, context)
        before, private = held(request.properties)
        self._asked(
            context,
            "ApplyResourceChange",
            type_name=kind(_token(request)),
            prior_state=before,
            planned_state=None,
            config=None,
            planned_private=private,
        )
        return StandIn.Cancel(self, request, context)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        if _token(request) == BUILD:
            return super().Read(request, context)
        type_ = kind(_token(request))
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

    def _wanted(self, request: Any, properties: Any) -> tuple[str, Any]:
        type_ = kind(_token(request))
        shape = ["object", terraform.shape(self.provider.block(type_))]
        return type_, translated(wire.plain(properties), shape)

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
        type_, wanted = self._wanted(request, properties)
        before, private = held_
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
def served(folder: Path, world: World, provider: Provider) -> Iterator[None]:
    """Serve the package in its stand-in's place; `folder` has the stand-ins' executables."""
    server = grpc.server(futures.ThreadPoolExecutor(servers.THREADS))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(RealDocker(world, provider), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (folder / "pulumi-resource-docker").write_text(servers.EXECUTABLE.format(port=port))
    try:
        yield
    finally:
        server.stop(grace=None).wait()


def _layer() -> bytes:
    """A root file system: the stub under every name, and users."""
    names = ("root", "appuser", "openbao", "nginx")  # any number does: files go by number
    lines = [f"{name}:x:{number}:0::/:/bin/sh\n" for number, name in enumerate(names)]
    users = {"etc/passwd": "".join(lines).encode()}
    stub = (terraform.programs() / "stub").read_bytes()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path in (".", "bin", "etc"):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, content in {"bin/stub": stub, **users}.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for name in PROGRAMS:
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "stub"
            archive.addfile(entry)
    return made.getvalue()


def make_image(host: str, reference: str, user: str = "") -> None:
    """Make an image whose every program is the stub; `user` is that of the image."""
    changes = ['ENTRYPOINT ["/bin/stub"]', *([f"USER {user}"] if user else [])]
    words = [word for change in changes for word in ("--change", change)]
    subprocess.run(
        ["docker", "--host", host, "import", *words, "-", reference],
        input=_layer(),
        check=True,
        capture_output=True,
    )
