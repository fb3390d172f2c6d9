"""The simulated world: what exists in it, what was called, and faults made on demand."""

import copy
import difflib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rehearsal.facts import WorldFacts
from rehearsal.refusals import RefusedError

Operation = Literal["create", "update", "delete"]
CONTENTS = ("items", "calls", "serial", "days", "marked", "secrets")


class UnansweredError(Exception):
    """The engine was killed while it waited for this call, which is applied."""


@dataclass(kw_only=True)
class Item:
    """A thing in the world. Values are plain; `secrets` names the properties to hand out wrapped.

    scope is the server that it lives on: names are unique there and not beyond.
    """

    type: str
    id: str
    scope: str
    name: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    secrets: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What tells it from everything else in the world."""
        return f"{self.scope} {self.type} {self.id}"

    def get(self, name: str, default: Any = None) -> Any:
        """A property: computed, or given."""
        return self.outputs.get(name, self.inputs.get(name, default))


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What was deleted and is still known, as long as its server is there.

    host is empty for the Docker engine that is always there.
    """

    type: str
    scope: str
    unique: list[Any]
    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that changed the world; `name` is the resource's in the program.

    changed are the paths of an update's inputs that differ.
    """

    type: str
    name: str
    operation: Operation
    changed: tuple[str, ...] = field(default=(), compare=False)

    @property
    def resource(self) -> str:
        """The resource as people name it: `Volume=data`."""
        return f"{self.type.rpartition(':')[2]}={self.name}"


@dataclass
class World:
    """Everything that exists; safe to use from several threads.

    secrets holds every secret text that a provider made up, for tests that look for leaks; days is
    how far its date is ahead; marked is what was deleted and is still known to its server.
    """

    facts: WorldFacts = field(default_factory=WorldFacts)
    items: dict[str, Item] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    serial: int = 0
    days: int = 0
    marked: list[Mark] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set, repr=False)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    on_call: Callable[[Call], None] = field(default=lambda _: None, repr=False)
    killed_after: int | None = None  # calls; others that were under way may still be applied
    _failures: list[tuple[str, str]] = field(default_factory=list)
    _kill: tuple[int, Callable[[], None]] | None = None

    def next_serial(self) -> int:
        """A number that no earlier thing of this world got."""
        self.serial += 1
        return self.serial

    def find(self, *types: str, scope: str | None = None) -> Iterator[Item]:
        """Everything of these types; on one server, or anywhere."""
        for item in self.items.values():
            if item.type in types and scope in (None, item.scope):
                yield item

    def fail(self, type_: str, name: str) -> None:
        """Refuse the next operation on one resource; the type in full or by its last part."""
        with self.lock:
            self._failures.append((type_, name))

    def kill_at(self, number: int, callback: Callable[[], None]) -> None:
        """Call `callback` once `number` calls from the beginning have changed the world.

        The call is applied and not answered: the callback ends the engine that waits for it.
        """
        self._kill = number, callback

    @property
    def faults_left(self) -> list[str]:
        """The faults that were asked for and have not happened."""
        known = {call.resource for call in self.calls}
        left = []
        for type_, name in self._failures:
            near = difflib.get_close_matches(f"{type_}={name}", known, n=1)
            hint = f"; there is {near[0]}" if near else ""
            left.append(f"{type_}={name} was never touched{hint}")
        if self._kill:
            left.append(f"the engine was not killed by any of {len(self.calls)} calls")
        return left

    def refuse_on_demand(self, type_: str, name: str) -> None:
        """Raise RefusedError where `fail` asked for it, once."""
        for wanted in self._failures:
            if wanted in ((type_, name), (type_.rpartition(":")[2], name)):
                self._failures.remove(wanted)
                raise RefusedError("on-demand", type=type_, name=name)

    def called(self, call: Call) -> None:
        """Count a call that was applied; UnansweredError where the engine is to die of it."""
        self.calls.append(call)
        self.on_call(call)
        if self._kill and self._kill[0] == len(self.calls):
            callback = self._kill[1]
            self._kill, self.killed_after = None, len(self.calls)
            callback()
            raise UnansweredError

    def dump(self) -> dict[str, Any]:
        """The world without its facts and faults."""
        with self.lock:
            return copy.deepcopy({name: getattr(self, name) for name in CONTENTS})

    def restore(self, dumped: Mapping[str, Any]) -> None:
        """Become what `dump` said; faults that were asked for are forgotten."""
        with self.lock:
            for name in CONTENTS:
                setattr(self, name, copy.deepcopy(dumped[name]))
            self._failures, self._kill = [], None

    def load(self, path: Path) -> None:
        """Become what `save` wrote."""
        read = json.loads(path.read_text(encoding="utf-8"))
        self.restore(
            read
            | {
                "items": {key: Item(**item) for key, item in read["items"].items()},
                "calls": [Call(**call) for call in read["calls"]],
                "marked": [Mark(**mark) for mark in read["marked"]],
                "secrets": set(read["secrets"]),
            }
        )

    def save(self, path: Path) -> None:
        """Write `dump` to a file, for `load` and for people to read."""

        def plain(value: Any) -> Any:
            return sorted(value) if isinstance(value, set) else asdict(value)

        path.write_text(json.dumps(self.dump(), default=plain), encoding="utf-8")
