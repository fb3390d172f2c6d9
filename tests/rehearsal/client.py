"""A small engine for tests: speaks to the simulators over gRPC as the real one does."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from rehearsal import wire
from rehearsal.facts import WorldFacts
from rehearsal.servers import serve
from rehearsal.world import World
from settings.target import PciDevice, Storage

# A node like the reference lab's.
FACTS = WorldFacts(
    node="pve",
    storages={
        "local": Storage(content=("iso", "vztmpl", "import"), capacity_gib=100),
        "local-lvm": Storage(content=("images", "rootdir"), capacity_gib=900),
    },
    pci=(PciDevice(path="0000:01:00", id="10de:1f15", subsystem_id="17aa:3a47", iommu_group=10),),
    names={"docker.lab.home.arpa": "192.168.1.202", "localhost": "127.0.0.1"},
    built_here=("registry.lab.home.arpa:5050/",),
)


class RefusedByProviderError(Exception):
    """A Check failure or an error of an operation."""


def told(reason: str) -> tuple[str, str]:
    """(property, reason) of a Check failure in the bridge's words."""
    text, _, where = reason.partition(". Examine values at '")
    return where.removesuffix("'.").partition(".")[2], text


class Provider:
    """One configured provider: its own connection, as the engine keeps one for each."""

    def __init__(self, package: str, port: int, config: Mapping[str, Any]):
        self.package = package
        # By default channels to one address share a connection; the engine's do not.
        own = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=own)
        self.stub = provider_pb2_grpc.ResourceProviderStub(self.channel)
        request = provider_pb2.ConfigureRequest(args=wire.struct(config))
        self._asked(self.stub.Configure, request)

    def urn(self, type_: str, name: str) -> str:
        """The URN of a resource without parents."""
        return f"urn:pulumi:test::project::{type_}::{name}"

    def check(self, type_: str, name: str, inputs: Mapping[str, Any]) -> dict[str, str]:
        """Property -> reason of each Check failure."""
        request = provider_pb2.CheckRequest(
            urn=self.urn(type_, name), news=wire.struct(inputs), randomSeed=b"\1\2\3\4"
        )
        answer = self.stub.Check(request)
        return dict(told(failure.reason) for failure in answer.failures)

    def create(
        self,
        type_: str,
        name: str,
        inputs: Mapping[str, Any],
        *,
        preview: bool = False,
        secrets: tuple[str, ...] = (),
    ) -> provider_pb2.CreateResponse:
        """Check, then create; RefusedByProviderError with the first reason."""
        failures = self.check(type_, name, inputs)
        if failures:
            raise RefusedByProviderError(next(iter(failures.values())))
        request = provider_pb2.CreateRequest(
            urn=self.urn(type_, name), properties=wire.struct(inputs, secrets), preview=preview
        )
        answer: provider_pb2.CreateResponse = self._asked(self.stub.Create, request)
        return answer

    def update(
        self, type_: str, name: str, id_: str, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> provider_pb2.UpdateResponse:
        """Change in place."""
        request = provider_pb2.UpdateRequest(
            urn=self.urn(type_, name), id=id_, old_inputs=wire.struct(old), news=wire.struct(new)
        )
        answer: provider_pb2.UpdateResponse = self._asked(self.stub.Update, request)
        return answer

    def delete(self, type_: str, name: str, id_: str, inputs: Mapping[str, Any]) -> None:
        """Delete."""
        request = provider_pb2.DeleteRequest(
            urn=self.urn(type_, name), id=id_, old_inputs=wire.struct(inputs)
        )
        self._asked(self.stub.Delete, request)

    def read(self, type_: str, name: str, id_: str) -> provider_pb2.ReadResponse:
        """Read as an import does: by the id alone."""
        request = provider_pb2.ReadRequest(urn=self.urn(type_, name), id=id_)
        answer: provider_pb2.ReadResponse = self._asked(self.stub.Read, request)
        return answer

    def invoke(self, token: str, args: Mapping[str, Any]) -> None:
        """Call a function of the package."""
        request = provider_pb2.InvokeRequest(tok=token, args=wire.struct(args))
        self._asked(self.stub.Invoke, request)

    def diff(
        self, type_: str, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> provider_pb2.DiffResponse:
        """The provider's diff."""
        request = provider_pb2.DiffRequest(
            urn=self.urn(type_, "x"), old_inputs=wire.struct(old), news=wire.struct(new)
        )
        answer: provider_pb2.DiffResponse = self.stub.Diff(request)
        return answer

    @staticmethod
    def _asked(method: Any, request: Any) -> Any:
        try:
            return method(request)
        except grpc.RpcError as error:
            raise RefusedByProviderError(error.details()) from None


class Lab:
    """A world, its simulators, and one provider of each package."""

    def __init__(self, world: World, ports: Mapping[str, int]):
        self.world = world
        self.ports = ports
        self.providers: dict[str, Provider] = {}

    def provider(self, package: str, **config: Any) -> Provider:
        """Another provider of a package, with a configuration of its own."""
        made = Provider(package, self.ports[package], config)
        self.providers.setdefault(f"{package} {len(self.providers)}", made)
        return made

    def at(self, type_: str) -> Provider:
        """The one provider of a type's package; none of them needs a server that is up."""
        package = type_.partition(":")[0]
        if package not in self.providers:
            config = {"apiToken": "root@pam!t=x"} if package == "proxmoxve" else {}
            self.providers[package] = Provider(package, self.ports[package], config)
        return self.providers[package]

    def create(self, type_: str, name: str = "it", /, **inputs: Any) -> str:
        """Make a thing; its id."""
        return str(self.at(type_).create(type_, name, inputs).id)

    def update(
        self, type_: str, id_: str, old: Mapping[str, Any], /, name: str = "it", **change: Any
    ) -> None:
        """Change a thing."""
        self.at(type_).update(type_, name, id_, old, {**old, **change})

    def delete(self, type_: str, id_: str, name: str = "it", /, **inputs: Any) -> None:
        """Remove a thing."""
        self.at(type_).delete(type_, name, id_, inputs)


@contextmanager
def lab(folder: Path, facts: WorldFacts = FACTS) -> Iterator[Lab]:
    """A lab whose simulators serve until the block ends."""
    world = World(facts=facts)
    with serve(world, folder) as ports:
        made = Lab(world, ports)
        try:
            yield made
        finally:
            for provider in made.providers.values():
                provider.channel.close()
