"""What the APIs refuse and what they compute, one module for each family of providers.

Rules are functions of one operation, registered for resource types; they raise RefusedError. A
rule for `check` sees what a preview sees (values may be unknown) and no world.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
Check = Callable[[Mapping[str, Any]], None]
Compute = Callable[[Step], dict[str, Any]]
Unrest = Callable[[Mapping[str, Any]], set[str]]

RULES: dict[tuple[str, Operation], list[Rule]] = defaultdict(list)
CHECKS: dict[str, list[Check]] = defaultdict(list)
OUTPUTS: dict[str, Compute] = {}
UNREST: dict[str, Unrest] = {}


def rule(*types: str, on: tuple[Operation, ...] = ("create", "update")) -> Callable[[Rule], Rule]:
    """Register a rule of the API."""

    def register(function: Rule) -> Rule:
        for type_ in types:
            for operation in on:
                RULES[type_, operation].append(function)
        return function

    return register


def check(*types: str) -> Callable[[Check], Check]:
    """Register a rule that the provider applies before it calls the API."""

    def register(function: Check) -> Check:
        for type_ in types:
            CHECKS[type_].append(function)
        return function

    return register


def outputs(*types: str) -> Callable[[Compute], Compute]:
    """Register what is computed at creation and, on top of what there was, at each update."""

    def register(function: Compute) -> Compute:
        for type_ in types:
            OUTPUTS[type_] = function
        return function

    return register


def unrest(*types: str) -> Callable[[Unrest], Unrest]:
    """Register which inputs the provider reads back differently, so that every run changes them."""

    def register(function: Unrest) -> Unrest:
        for type_ in types:
            UNREST[type_] = function
        return function

    return register
