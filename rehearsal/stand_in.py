"""A stand-in for one provider plugin: Pulumi's ResourceProvider service over the simulated world.

Source of the protocol: pulumi.runtime.proto.provider_pb2.
"""

import secrets
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from rehearsal import apply, catalogue, check, diff, requests, sdk, wire
from rehearsal.physics import CHECKS, RENEWALS, Step
from rehearsal.reach import reach, scope
from rehearsal.refusals import RefusedError
from rehearsal.world import Item, Operation, World

# How long a call that is not to be answered waits for its caller to die.
SILENCE_S = 30.0

Context = grpc.ServicerContext


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """Answers for one package; several instances of its provider may talk to it at once.

    The engine opens one connection for each provider resource; which configuration a call is for
    is known by its connection.
    """

    def __init__(self, package: str, world: World) -> None:
        self.package = package
        self.world = world
        self._configs: dict[str, Mapping[str, Any]] = {}

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: Context
    ) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=True
        )

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=sdk.version(self.package))

    def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: Context
    ) -> provider_pb2.CheckResponse:
        shape = sdk.shape(self.package, f"pulumi:providers:{self.package}")
        if shape is None:
            raise LookupError(f"the SDK of {self.package} has no provider")
        faults = check.check_provider(shape.inputs, requests.settings(request.news))
        return provider_pb2.CheckResponse(
            inputs=request.news, failures=requests.failures(requests.name_of(request), faults)
        )

    def DiffConfig(
        self, request: provider_pb2.DiffRequest, context: Context
    ) -> provider_pb2.DiffResponse:
        """Providers change in place: no one of these calls a new server a new provider."""
        found = dict(
            diff.changes(requests.settings(request.old_inputs), requests.settings(request.news))
        )
        response = provider_pb2.DiffResponse
        kind = response.DIFF_SOME if found else response.DIFF_NONE
        return response(changes=kind, diffs=sorted(found))

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: Context
    ) -> provider_pb2.ConfigureResponse:
        self._configs[context.peer()] = requests.settings(request.args)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True
        )

    def Invoke(
        self, request: provider_pb2.InvokeRequest, context: Context
    ) -> provider_pb2.InvokeResponse:
        """The program reads nothing through providers; values flow from layer to layer."""
        _refuse(context, RefusedError("function-unknown", token=request.tok))

    def Check(
        self, request: provider_pb2.CheckRequest, context: Context
    ) -> provider_pb2.CheckResponse:
        token = requests.token_of(request)
        shape = sdk.shape(self.package, token)
        if shape is None:
            reason = f"the provider {self.package} has no resource type {token}"
            failure = provider_pb2.CheckFailure(reason=reason)
            return provider_pb2.CheckResponse(failures=[failure])
        news = Struct()
        news.CopyFrom(request.news)
        if catalogue.autonamed(self.package, token) and "name" not in news.fields:
            self._make_up_name(request, news)
        inputs = wire.plain(news)
        faults = list(check.check(shape.inputs, inputs))
        if not faults:
            try:
                if token in CHECKS:
                    CHECKS[token](inputs)
            except RefusedError as refused:
                faults = [check.Fault(refused.at, str(refused))]
        failures = requests.failures(requests.name_of(request), faults)
        return provider_pb2.CheckResponse(inputs=news, failures=failures)

    def _make_up_name(self, request: provider_pb2.CheckRequest, news: Struct) -> None:
        olds = wire.plain(request.olds)
        made_up = requests.DEFAULTS in request.olds.fields
        name = olds.get("name") if made_up else None
        seed = request.randomSeed.hex()[:7] or secrets.token_hex(4)[:7]
        news.update(
            {"name": name or f"{requests.name_of(request)}-{seed}", requests.DEFAULTS: ["name"]}
        )

    def Diff(
        self, request: provider_pb2.DiffRequest, context: Context
    ) -> provider_pb2.DiffResponse:
        token = requests.token_of(request)
        old, new = wire.plain(request.old_inputs), wire.plain(request.news)
        by_hand = (
            catalogue.autonamed(self.package, token)
            and requests.DEFAULTS not in request.news.fields
        )
        renewed = self._renewed(token, wire.plain(request.olds), new)
        return diff.diff(token, old, new, named_by_hand=by_hand, renewed=renewed)

    def _renewed(self, token: str, known: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
        return RENEWALS[token](self.world, known, new) if token in RENEWALS else set()

    def Create(
        self, request: provider_pb2.CreateRequest, context: Context
    ) -> provider_pb2.CreateResponse:
        given = requests.without_defaults(request.properties)
        step = self._step(request, context, "create", given)
        if request.preview:
            unknown = dict.fromkeys(self._computed(step.type, given), wire.UNKNOWN)
            return provider_pb2.CreateResponse(properties=self._told(step.type, given, unknown))
        try:
            made = apply.create(self.package, step, self._wrapped(step.type, given))
        except RefusedError as refused:
            _refuse(context, refused)
        self._or_instead(made, context)
        told = self._told(step.type, given, made.item.outputs)
        return provider_pb2.CreateResponse(id=made.item.id, properties=told)

    def Update(
        self, request: provider_pb2.UpdateRequest, context: Context
    ) -> provider_pb2.UpdateResponse:
        given = requests.without_defaults(request.news)
        known = wire.plain(request.olds)
        step = self._step(request, context, "update", given)
        computed = {n: known[n] for n in self._computed(step.type, given) if n in known}
        if request.preview and self._renewed(step.type, known, step.inputs):
            computed = dict.fromkeys(computed, wire.UNKNOWN)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=self._told(step.type, given, computed))
        old = apply.look_up(step, requests.id_of(request.id, known))
        if old is None and not catalogue.kind(step.type).in_state:
            _refuse(context, RefusedError("gone", id=request.id))
        old = old or self._item(step, request.id, wire.plain(request.old_inputs), computed)
        step = self._step(request, context, "update", given, old)
        try:
            made = apply.update(self.package, step, self._wrapped(step.type, given))
        except RefusedError as refused:
            _refuse(context, refused)
        self._or_instead(made, context)
        told = self._told(step.type, given, computed | made.item.outputs)
        return provider_pb2.UpdateResponse(properties=told)

    def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        step = self._step(request, context, "delete", request.old_inputs)
        known = wire.plain(request.properties)
        old = apply.look_up(step, requests.id_of(request.id, known))
        old = old or self._item(step, request.id, step.inputs, known)
        step = self._step(request, context, "delete", request.old_inputs, old)
        try:
            made = apply.delete(self.package, step)
        except RefusedError as refused:
            _refuse(context, refused)
        self._or_instead(made, context)
        return empty_pb2.Empty()

    def Read(
        self, request: provider_pb2.ReadRequest, context: Context
    ) -> provider_pb2.ReadResponse:
        """What is there, by its id or the id that it is imported by; empty where it is gone."""
        step = self._step(request, context, "update", request.inputs)
        kind = catalogue.kind(step.type)
        if kind.in_state:
            return provider_pb2.ReadResponse(
                id=request.id, properties=request.properties, inputs=request.inputs
            )
        try:
            reach(self.world, self.package, step.config)
        except RefusedError as refused:
            _refuse(context, refused)
        item = apply.look_up(step, requests.id_of(request.id, wire.plain(request.properties)))
        if item is None:
            return provider_pb2.ReadResponse()
        hidden = () if request.properties.fields else kind.unread
        values = {k: v for k, v in {**item.inputs, **item.outputs}.items() if k not in hidden}
        inputs = wire.struct(item.inputs, item.secrets)
        if requests.DEFAULTS in request.inputs.fields:
            inputs.fields[requests.DEFAULTS].CopyFrom(request.inputs.fields[requests.DEFAULTS])
        properties = wire.struct(values, item.secrets)
        return provider_pb2.ReadResponse(id=item.id, properties=properties, inputs=inputs)

    def _step(
        self,
        request: Any,
        context: Context,
        operation: Operation,
        inputs: Struct,
        old: Item | None = None,
    ) -> Step:
        config = self._configs.get(context.peer(), {})
        return Step(
            world=self.world,
            type=requests.token_of(request),
            name=requests.name_of(request),
            scope=scope(self.world, self.package, config),
            operation=operation,
            config=config,
            inputs=wire.plain(inputs),
            old=old,
        )

    def _item(
        self, step: Step, id_: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> Item:
        """A thing as the state knows it."""
        return Item(
            type=step.type,
            id=id_,
            scope=step.scope,
            name=step.name,
            inputs=dict(inputs),
            outputs=dict(outputs),
            secrets=[],
        )

    def _secrets(self, token: str) -> frozenset[str]:
        shape = sdk.shape(self.package, token)
        return shape.secrets if shape else frozenset()

    def _wrapped(self, token: str, given: Struct) -> list[str]:
        """The properties that are secret: so given, or so declared."""
        return sorted({*wire.secret_names(given), *self._secrets(token)})

    def _computed(self, token: str, given: Struct) -> set[str]:
        """Outputs that are no inputs, and those that the provider fills in where not given."""
        shape = sdk.shape(self.package, token)
        if shape is None:
            return set()
        filled = set(catalogue.kind(token).computed)
        only = shape.outputs - sdk.properties(shape.inputs).keys()
        return {*only, *filled} - set(given.fields)

    def _told(self, token: str, given: Struct, computed: Mapping[str, Any]) -> Struct:
        """Inputs as they came and what was computed, with the SDK's secrets wrapped."""
        fresh = {name: value for name, value in computed.items() if name not in given.fields}
        wrapped = wire.secret_names(given)
        return wire.merged(given, fresh, self._secrets(token), wrapped)

    def _or_instead(self, made: apply.Applied, context: Context) -> None:
        """Where the call is not to be answered, wait until nobody waits for it any more."""
        if made.instead is None:
            return
        made.instead()
        end = time.monotonic() + SILENCE_S
        while context.is_active() and time.monotonic() < end:
            time.sleep(0.01)
        context.abort(grpc.StatusCode.CANCELLED, "the rehearsal does not answer this call")


def _refuse(context: Context, refused: RefusedError) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, str(refused))
    raise AssertionError("abort raises")
