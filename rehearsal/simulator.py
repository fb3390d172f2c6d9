"""A provider plugin, simulated: Pulumi's ResourceProvider service over the simulated world.

Source of the protocol: pulumi.runtime.proto.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as proto

from rehearsal import catalogue, check, diff, operations, sdk, wire
from rehearsal.catalogue import Limit
from rehearsal.reach import reach, scope
from rehearsal.refusals import RefusedError
from rehearsal.rules import CHECKS, RENEWALS, Step
from rehearsal.world import Item, Operation, UnansweredError, World

# How long a call that is not to be answered waits for its caller to die.
SILENCE_S = 30.0
# The bridge's mark of inputs that it made up itself (pulumi-terraform-bridge, pkg/tfbridge).
DEFAULTS = "__defaults"

Context = grpc.ServicerContext
T = TypeVar("T")


class Simulator(provider_pb2_grpc.ResourceProviderServicer):
    """Answers for one package; several instances of its provider may talk to it at once.

    The engine opens one connection for each provider resource; which configuration a call is for
    is known by its connection.
    """

    def __init__(self, package: str, world: World) -> None:
        self.package = package
        self.world = world
        self._configs: dict[str, Mapping[str, Any]] = {}

    def Handshake(
        self, request: proto.ProviderHandshakeRequest, context: Context
    ) -> proto.ProviderHandshakeResponse:
        return proto.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=True
        )

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=sdk.version(self.package))

    def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def CheckConfig(self, request: proto.CheckRequest, context: Context) -> proto.CheckResponse:
        shape = sdk.shape(self.package, f"pulumi:providers:{self.package}")
        if shape is None:
            raise LookupError(f"the SDK of {self.package} has no provider")
        faults = check.check_provider(shape.inputs, settings(request.news))
        return proto.CheckResponse(inputs=request.news, failures=failures(name_of(request), faults))

    def DiffConfig(self, request: proto.DiffRequest, context: Context) -> proto.DiffResponse:
        """Providers change in place: no one of these calls a new server a new provider."""
        found = dict(diff.changes(settings(request.old_inputs), settings(request.news)))
        response = proto.DiffResponse
        kind = response.DIFF_SOME if found else response.DIFF_NONE
        return response(changes=kind, diffs=sorted(found))

    def Configure(
        self, request: proto.ConfigureRequest, context: Context
    ) -> proto.ConfigureResponse:
        config = settings(request.args)
        self._configs[context.peer()] = config
        self._ended(context, lambda: self._accept(config))
        return proto.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True
        )

    def _accept(self, config: Mapping[str, Any]) -> None:
        """Refuse what the real provider refuses of its options."""
        known = catalogue.providers().get(self.package)
        if known:
            refuse(f"pulumi:providers:{self.package}", known.limits, config)
            if known.early and config.get(known.early, True) not in (False, "false"):
                reach(self.world, self.package, config)

    def Invoke(self, request: proto.InvokeRequest, context: Context) -> proto.InvokeResponse:
        """The program reads nothing through providers; values flow from layer to layer."""
        context.abort(
            grpc.StatusCode.UNKNOWN, str(RefusedError("function-unknown", token=request.tok))
        )

    def Check(self, request: proto.CheckRequest, context: Context) -> proto.CheckResponse:
        token = token_of(request)
        shape = sdk.shape(self.package, token)
        if shape is None:
            reason = f"the provider {self.package} has no resource type {token}"
            failure = proto.CheckFailure(reason=reason)
            return proto.CheckResponse(failures=[failure])
        news = Struct()
        news.CopyFrom(request.news)
        if catalogue.autonamed(self.package, token) and "name" not in news.fields:
            made_up = wire.plain(request.olds) if DEFAULTS in request.olds.fields else {}
            seed = request.randomSeed.hex()[:7] or secrets.token_hex(4)[:7]
            name = made_up.get("name") or f"{name_of(request)}-{seed}"
            news.update({"name": name, DEFAULTS: ["name"]})
        inputs = wire.plain(news)
        faults = list(check.check(shape.inputs, inputs))
        if not faults:
            try:
                refuse(token, catalogue.kind(token).limits, inputs)
            except RefusedError as refused:
                faults = [check.Fault(refused.at, str(refused))]
        return proto.CheckResponse(inputs=news, failures=failures(name_of(request), faults))

    def Diff(self, request: proto.DiffRequest, context: Context) -> proto.DiffResponse:
        token = token_of(request)
        new = wire.plain(request.news)
        by_hand = catalogue.autonamed(self.package, token) and DEFAULTS not in request.news.fields
        renewed = self._renewed(token, wire.plain(request.olds), new)
        old = wire.plain(request.old_inputs)
        return diff.diff(token, old, new, named_by_hand=by_hand, renewed=renewed)

    def _renewed(self, token: str, known: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
        return RENEWALS[token](self.world, known, new) if token in RENEWALS else set()

    def Create(self, request: proto.CreateRequest, context: Context) -> proto.CreateResponse:
        step = self._step(request, context, "create", request.properties)
        if request.preview:
            unknown = dict.fromkeys(self._computed(step), wire.UNKNOWN)
            return proto.CreateResponse(properties=self._told(request.properties, step, unknown))
        secret = self._secret(request.properties, step)
        made = self._ended(context, lambda: self._create(step, secret))
        told = self._told(request.properties, step, made.outputs)
        return proto.CreateResponse(id=made.id, properties=told)

    def Update(self, request: proto.UpdateRequest, context: Context) -> proto.UpdateResponse:
        known = wire.plain(request.olds)
        step = self._step(request, context, "update", request.news)
        computed = {name: known[name] for name in self._computed(step) if name in known}
        if request.preview:
            if self._renewed(step.type, known, step.inputs):
                computed = dict.fromkeys(computed, wire.UNKNOWN)
            told = self._told(request.news, step, computed)
            return proto.UpdateResponse(properties=told)
        if step.old is None and not catalogue.kind(step.type).in_state:
            context.abort(grpc.StatusCode.UNKNOWN, str(RefusedError("gone", id=request.id)))
        there = self._there(step, request.id, wire.plain(request.old_inputs), computed)
        secret = self._secret(request.news, step)
        made = self._ended(context, lambda: self._update(there, secret))
        told = self._told(request.news, step, computed | made.outputs)
        return proto.UpdateResponse(properties=told)

    def Delete(self, request: proto.DeleteRequest, context: Context) -> empty_pb2.Empty:
        step = self._step(request, context, "delete", request.old_inputs)
        there = self._there(step, request.id, step.inputs, wire.plain(request.properties))
        self._ended(context, lambda: self._delete(there))
        return empty_pb2.Empty()

    def Read(self, request: proto.ReadRequest, context: Context) -> proto.ReadResponse:
        """What is there, by its id or the id that it is imported by; empty where it is gone."""
        step = self._step(request, context, "update", request.inputs)
        kind = catalogue.kind(step.type)
        if kind.in_state:
            return proto.ReadResponse(
                id=request.id, properties=request.properties, inputs=request.inputs
            )
        item = self._ended(context, lambda: self._read(step))
        if item is None:
            return proto.ReadResponse()
        hidden = () if request.properties.fields else kind.unread
        values = {k: v for k, v in {**item.inputs, **item.outputs}.items() if k not in hidden}
        inputs = wire.struct(item.inputs, item.secrets)
        if DEFAULTS in request.inputs.fields:
            inputs.fields[DEFAULTS].CopyFrom(request.inputs.fields[DEFAULTS])
        properties = wire.struct(values, item.secrets)
        return proto.ReadResponse(id=item.id, properties=properties, inputs=inputs)

    def _step(self, request: Any, context: Context, operation: Operation, inputs: Struct) -> Step:
        """The operation that a call asks for, on what is there under its id."""
        config = self._configs.get(context.peer(), {})
        step = Step(
            world=self.world,
            type=token_of(request),
            name=name_of(request),
            scope=scope(self.world, self.package, config),
            operation=operation,
            config=config,
            inputs=wire.plain(inputs),
        )
        return step if operation == "create" else replace(step, old=self._known(step, request))

    # What a servicer that acts on real servers does otherwise (rehearsal/acting.py).

    def _known(self, step: Step, request: Any) -> Item | None:
        """What a call is about: by the id in its state, as an update may have changed it.

        The engine keeps the first id, and the bridge goes by the property
        (pulumi-terraform-bridge pkg/pf/tfbridge/provider_update.go).
        """
        known = request.olds if hasattr(request, "olds") else request.properties
        return operations.look_up(step, str(wire.plain(known).get("id") or request.id))

    def _create(self, step: Step, secret: list[str]) -> Item:
        return operations.create(step, secret)

    def _read(self, step: Step) -> Item | None:
        reach(self.world, self.package, step.config)
        return step.old

    def _update(self, step: Step, secret: list[str]) -> Item:
        return operations.update(step, secret)

    def _delete(self, step: Step) -> None:
        operations.delete(step)

    def _there(
        self, step: Step, id_: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> Step:
        """The step on the thing as the state knows it, where the world has none."""
        known = Item(
            type=step.type,
            id=id_,
            scope=step.scope,
            name=step.name,
            inputs=dict(inputs),
            outputs=dict(outputs),
        )
        return replace(step, old=step.old or known)

    def _shape(self, step: Step) -> sdk.Shape:
        shape = sdk.shape(self.package, step.type)
        if shape is None:
            raise LookupError(f"the SDK of {self.package} has no {step.type}")
        return shape

    def _secret(self, given: Struct, step: Step) -> list[str]:
        """The properties that are secret: so given, or so declared."""
        return sorted(wire.secret_names(given) | self._shape(step).secrets)

    def _computed(self, step: Step) -> set[str]:
        """Outputs that are no inputs, and those that the provider fills in where not given."""
        shape = self._shape(step)
        only = shape.outputs - sdk.properties(shape.inputs).keys()
        return {*only, *catalogue.kind(step.type).computed} - step.inputs.keys()

    def _told(self, given: Struct, step: Step, computed: Mapping[str, Any]) -> Struct:
        """Inputs as they came and what was computed, with the SDK's secrets wrapped."""
        told = wire.merged(given, computed, self._shape(step).secrets)
        told.fields.pop(DEFAULTS, None)
        return told

    def _ended(self, context: Context, operation: Callable[[], T]) -> T:
        """The result of an operation; the call ends here where there is none."""
        try:
            return operation()
        except RefusedError as refused:
            context.abort(grpc.StatusCode.UNKNOWN, str(refused))
        except UnansweredError:  # wait until nobody waits for the answer any more
            end = time.monotonic() + SILENCE_S
            while context.is_active() and time.monotonic() < end:
                time.sleep(0.01)
            context.abort(grpc.StatusCode.CANCELLED, "the rehearsal does not answer this call")


def refuse(token: str, limits: tuple[Limit, ...], values: Mapping[str, Any]) -> None:
    """RefusedError for what the provider itself refuses of its inputs or options."""
    catalogue.limited(limits, values, "check")
    if token in CHECKS:
        CHECKS[token](values)


def settings(args: Struct) -> dict[str, Any]:
    """A provider's options."""
    values = wire.plain(args)
    return {k: v for k, v in values.items() if k not in ("version", "pluginDownloadURL")}


def token_of(request: Any) -> str:
    """The type that a call is about."""
    return str(request.type or request.urn.split("::")[2].rpartition("$")[2])


def name_of(request: Any) -> str:
    """The resource's name in the program."""
    return str(request.name or request.urn.split("::", 3)[3])


def failures(name: str, faults: Iterable[check.Fault]) -> list[proto.CheckFailure]:
    """In the bridge's words. Without `property`, for which the engine would print the value."""
    return [
        proto.CheckFailure(reason=f"{fault.reason}. Examine values at '{name}.{fault.path}'.")
        for fault in faults
    ]
