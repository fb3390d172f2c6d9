"""The rehearsal: every layer up and nothing left to do, then all down and the world empty."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli.lib import removals, repair
from cli.lib.effects import named
from cli.lib.fault import Fault
from cli.lib.plan import STATEFUL
from cli.lib.pulumi import Engine
from layers import LAYERS
from rehearsal import earlier, operations, scratch
from rehearsal.facts import WorldFacts
from rehearsal.result import Change, LayerResult
from rehearsal.rules import RENEWALS
from rehearsal.scratch import Scratch
from rehearsal.steps import Outcome, Runner
from rehearsal.world import Call, Item, World
from toolchain import install

LONGEST_DAYS = 800  # no token and no certificate that a server gets lasts longer


class RehearsalError(Exception):
    """The lab does not come up, has something left to do, or leaves something behind."""


@dataclass(kw_only=True)
class Rehearsal:
    """One run over an environment whose simulators are being served.

    tell gets a line of progress at a time; recovered what was broken on demand and came up again;
    renewed what fell due; change is what `up` brings to a lab that stood, and data names what it
    held before.
    """

    scratch: Scratch
    world: World
    tell: Callable[[str], None] = lambda _: None
    results: list[LayerResult] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    change: Change | None = None
    data: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.runner = Runner(self.scratch)

    def up(self, layers: tuple[str, ...] = LAYERS) -> None:
        """Bring layers up, lowest first, each with nothing left to do."""
        if self.change is None:
            self.tell("making the stacks")
            self.scratch.initialise()
        self.results = [LayerResult(layer=layer) for layer in layers]
        self._remove(layers)
        for result in self.results:
            layer = result.layer
            result.up_s = self._bring_up(layer, result.calls)
            self.tell(f"{layer}: nothing left to do?")
            self._unchanged(result)

    def stand(self, change: Change, layers: tuple[str, ...] = LAYERS) -> None:
        """Bring layers up as they are before a change, which the next `up` then brings."""
        program = self.scratch.folder / "program" if change.commit else install.ROOT
        self.tell("making the stacks")
        if change.commit:
            earlier.unpack(change.commit, program)
            self._go_on(scratch.turn(self.scratch, program), in_luck=True)
        self.scratch.initialise()
        for layer in layers:
            self._bring_up(layer, [], f" by {change.before}")
        if change.commit:
            earlier.follow(program)
            self._go_on(scratch.turn(self.scratch, program))
        self.edit(change, program)

    def edit(self, change: Change, program: Path | None = None) -> None:
        """Go on with the change's settings; program is the checkout's own unless given."""
        self._go_on(scratch.edit(self.scratch, program or install.ROOT, change.edits))
        self.scratch.give_secrets()
        self.world.calls.clear()  # those that count are of the change
        self.change = change
        self.data = frozenset(
            named(item.type.rpartition(":")[2], item.name) for item in self.world.find(*STATEFUL)
        )

    def _go_on(self, facts: WorldFacts, *, in_luck: bool = False) -> None:
        """Go on in another ground; what had a name in the network keeps it."""
        names = {**self.world.facts.names, **facts.names}
        self.world.facts = replace(facts, names=names, in_luck=in_luck)

    def renew(self) -> None:
        """Go on to the day on which the next of what was made is renewed; `up` has to do it."""
        days = self._due()
        if days is None:
            return
        self.world.days += days
        due = {Call(type=item.type, name=item.name, operation="create") for item in self._near()}
        for result in self.results:
            if due.isdisjoint(result.calls):
                continue
            self.tell(f"{result.layer}: what falls due in {days} days")
            calls: list[Call] = []
            self._bring_up(result.layer, calls, f" in {days} days")
            self._unchanged(result)
            names = sorted(call.resource for call in calls)
            self.renewed.append(f"{result.layer}, after {days} days: {', '.join(names)}")
        if left := [item.name for item in self._near()]:
            raise RehearsalError(f"`up` does not renew what falls due: {', '.join(left)}")

    def _due(self) -> int | None:
        """Days until something is renewed; None where nothing ever is."""
        today = self.world.days
        try:
            for days in range(1, LONGEST_DAYS):
                self.world.days = today + days
                if any(self._near()):
                    return days
        finally:
            self.world.days = today
        return None

    def _near(self) -> Iterator[Item]:
        """What the next `up` renews."""
        for item in self.world.items.values():
            renewal = RENEWALS.get(item.type)
            if renewal and renewal(self.world, {**item.inputs, **item.outputs}, item.inputs):
                yield item

    def down(self) -> None:
        """Destroy what is up, highest first, data included; the world must be empty then."""
        for result in reversed(self.results):
            self.tell(f"{result.layer}: taking down")
            stack = self.scratch.stack(result.layer)
            outcome = self.runner.run(
                "destroy", "-s", stack, "--yes", "--skip-preview", "--ignore-protect"
            )
            result.down_s = outcome.seconds
            if outcome.code:
                raise RehearsalError(failure(result.layer, outcome))
        if self.world.items:
            left = "\n".join(f"  {item.key}" for item in self.world.items.values())
            raise RehearsalError(f"everything was destroyed, and this is still there:\n{left}")

    def _remove(self, layers: tuple[str, ...]) -> None:
        """What `./lab up` does first: what is switched off goes from the top."""
        if self.change is None:
            return  # nothing stands yet
        self.tell("what is switched off?")
        engine = self.scratch.engine
        found = removals.planned(engine, self.scratch.env, layers)
        try:
            first = removals.from_the_top(found)
            removals.allow(engine, self.scratch.env, found, data=False)
        except Fault as fault:
            raise RehearsalError(f"./lab up {self.scratch.env} would refuse: {fault}") from None
        for layer in first:
            self._bring_up(layer, self.results[layers.index(layer)].calls)

    def _bring_up(self, layer: str, calls: list[Call], whose: str = "") -> float:
        """`up` until it succeeds; each fault that was asked for costs one more. Seconds.

        `calls` gets the calls that it took.
        """
        begin, made = time.monotonic(), len(self.world.calls)
        left = self.world.faults_left
        while True:
            self.tell(f"{layer}: coming up{whose}")
            outcome = self.runner.run(
                "up", "-s", self.scratch.stack(layer), "--yes", "--skip-preview"
            )
            if not outcome.code:
                calls += self.world.calls[made:]
                return time.monotonic() - begin
            if self.world.faults_left == left:
                raise RehearsalError(failure(layer, outcome))
            left = self.world.faults_left
            if self.runner.killed or outcome.code < 0:
                self.scratch.kill_leftovers()
                number = self.world.killed_after
                self.recovered.append(f"{layer}: the engine was killed after call {number}")
                self.tell(f"{layer}: repairing")
                self.repair(layer)
            else:
                self.recovered += [f"{layer}: {error}" for error in outcome.errors]

    def repair(self, layer: str) -> None:
        """What `./lab repair` does, asking the simulated world where it would ask servers."""
        engine = _Quiet(folder=self.scratch.folder, variables=self.scratch.engine.variables)
        stack = self.scratch.stack(layer)
        repair.fix(
            engine, stack, lambda kind, inputs, _: operations.found(self.world, kind, inputs)
        )

    def _unchanged(self, result: LayerResult) -> None:
        """Raise RehearsalError where a layer that is up has something left to do."""
        begin, stack = time.monotonic(), self.scratch.stack(result.layer)
        found = self.scratch.engine.preview(stack, "--expect-no-changes", "--show-sames")
        result.preview_s = time.monotonic() - begin
        if found.code:
            changed = "".join(
                f"\n  {step['op']} {step['urn'].rpartition('::')[2]}"
                f" {', '.join(step.get('detailedDiff') or step.get('diffReasons') or ())}"
                for step in found.steps
                if step["op"] != "same"
            )
            raise RehearsalError(
                f"{result.layer}: after `up` nothing should be left to do:{changed}\n{found.why}"
            )
        states = [step.get("newState") or {} for step in found.steps]
        result.resources = sum(
            bool(state.get("custom")) and not state["type"].startswith("pulumi:")
            for state in states
        )


class _Quiet(Engine):
    """Keeps to itself what Pulumi says, unless it fails: standard output is the report's."""

    def run(self, *arguments: str) -> int:
        self.capture(*arguments)
        return 0


def failure(layer: str, outcome: Outcome) -> str:
    """What a failed command said."""
    errors = "".join(f"\n  {line}" for error in outcome.errors for line in error.splitlines())
    return f"{layer}: {outcome.line} ended with exit code {outcome.code}{errors}"
