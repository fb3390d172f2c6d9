"""What the APIs refuse and what they compute, one module for each family of providers.

Rules are functions of one operation, registered for resource types; they raise RefusedError. What
a rule on a single value can say stands in rehearsal/catalogue instead.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rehearsal.world import Item, Operation, World


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation on one resource; `old` is what is there already, `config` the provider's."""

    world: World
    type: str
    name: str
    scope: str
    operation: Operation
    config: Mapping[str, Any]
    inputs: Mapping[str, Any]
    old: Item | None = None

    @property
    def existing(self) -> Item:
        """What is there already; every update and deletion has it."""
        if self.old is None:
            raise LookupError(f"{self.operation} of {self.name} without what is there")
        return self.old

    def others(self, *types: str) -> Iterator[Item]:
        """Everything of these types on the same server, but not the resource itself."""
        for item in self.world.find(*types, scope=self.scope):
            if item is not self.old:
                yield item


Rule = Callable[[Step], None]
# Of a resource's inputs, or of a provider's options: what a preview sees, where values may be
# unknown, and no world.
Check = Callable[[Mapping[str, Any]], None]
Compute = Callable[[Step], dict[str, Any]]
Drift = Callable[[Mapping[str, Any]], set[str]]
Renew = Callable[[World, Mapping[str, Any], Mapping[str, Any]], set[str]]
F = TypeVar("F", bound=Callable[..., Any])

RULES: dict[tuple[str, Operation], list[Rule]] = defaultdict(list)
CHECKS: dict[str, Check] = {}
OUTPUTS: dict[str, Compute] = {}
DRIFTS: dict[str, Drift] = {}
RENEWALS: dict[str, Renew] = {}


def rule(*types: str, on: tuple[Operation, ...] = ("create", "update")) -> Callable[[Rule], Rule]:
    """Register a rule of the API; a type may have many."""

    def register(function: Rule) -> Rule:
        for type_ in types:
            for operation in on:
                RULES[type_, operation].append(function)
        return function

    return register


def _registrar(table: dict[str, F]) -> Callable[..., Callable[[F], F]]:
    def for_types(*types: str) -> Callable[[F], F]:
        def register(function: F) -> F:
            table.update(dict.fromkeys(types, function))
            return function

        return register

    return for_types


# What the provider itself refuses, before it calls the API.
check = _registrar(CHECKS)
# What is computed at creation and, on top of what there was, at each update.
outputs = _registrar(OUTPUTS)
# Which inputs the provider reads back differently, so that every run changes them.
drifts = _registrar(DRIFTS)
# Which outputs the provider plans to renew, from what is known of the thing and its new inputs.
renews = _registrar(RENEWALS)
