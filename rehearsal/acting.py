"""Local providers that act on real servers, for machines that can have no plugins.

They are the simulators with another end: checks, differences, secrets and ids are the same, but
what exists is on the servers and in the state, and nowhere else.
"""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import grpc
from pulumi.runtime.proto import provider_pb2 as proto

from rehearsal import catalogue, operations, wire
from rehearsal.acts import ACTS, PACKAGES, ActError
from rehearsal.rules import Step
from rehearsal.simulator import Simulator, name_of, token_of
from rehearsal.world import Item, World

T = TypeVar("T")


class Acting(Simulator):
    """Answers for one package by doing what it is asked."""

    def __init__(self, package: str, world: World) -> None:
        super().__init__(package, world)
        if package in PACKAGES:  # a library each, which the others need not wait for
            importlib.import_module(f"rehearsal.acts.{package}")

    def Check(self, request: proto.CheckRequest, context: grpc.ServicerContext) -> Any:
        token = token_of(request)
        if not self.acts(token):
            reason = f"{name_of(request)}: no local provider acts on {token}; it needs the plugin"
            return proto.CheckResponse(failures=[proto.CheckFailure(reason=reason)])
        return super().Check(request, context)

    def acts(self, token: str) -> bool:
        """Whether it can make resources of this type."""
        return token in ACTS or catalogue.kind(token).in_state

    def _accept(self, config: Any) -> None:
        """The server is asked with the first resource, as most providers do."""

    def _known(self, step: Step, request: Any) -> Item:
        """What the state says of the resource."""
        known = request.olds if hasattr(request, "olds") else request.properties
        given = request.old_inputs if hasattr(request, "old_inputs") else request.inputs
        outputs = wire.plain(known)
        return Item(
            type=step.type,
            id=str(outputs.get("id") or request.id),
            scope=step.scope,
            name=step.name,
            inputs=wire.plain(given),
            outputs=outputs,
            secrets=sorted(wire.secret_names(known) | wire.secret_names(given)),
        )

    def _create(self, step: Step, secret: list[str]) -> Item:
        if step.type not in ACTS:
            return super()._create(step, secret)
        computed = {**operations.computed_by(step), **ACTS[step.type].create(step)}
        return Item(
            type=step.type,
            id=catalogue.render(catalogue.kind(step.type).id, {**step.inputs, **computed}),
            scope=step.scope,
            name=step.name,
            inputs=dict(step.inputs),
            outputs=computed,
            secrets=secret,
        )

    def _read(self, step: Step) -> Item | None:
        inputs = ACTS[step.type].read(step)
        return None if inputs is None else replace(step.existing, inputs=dict(inputs))

    def _update(self, step: Step, secret: list[str]) -> Item:
        if step.type not in ACTS:
            return super()._update(step, secret)
        computed = {**operations.computed_by(step), **ACTS[step.type].update(step)}
        return replace(step.existing, inputs=dict(step.inputs), outputs=computed)

    def _delete(self, step: Step) -> None:
        if step.type in ACTS:
            ACTS[step.type].delete(step)
        else:
            super()._delete(step)

    def _ended(self, context: grpc.ServicerContext, operation: Callable[[], T]) -> T:
        try:
            return super()._ended(context, operation)
        except ActError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
