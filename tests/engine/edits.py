"""Edits of settings for tests: what a rehearsal says of one, and what the engine then did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.commands.rehearse import report
from cli.lib.effects import Effects, named
from layers import LAYERS
from rehearsal.edits import Edit
from rehearsal.result import CHANGES, Change
from rehearsal.rules.proxmox import LXC, VM
from rehearsal.run import Rehearsal
from tests.engine.lab import Lab

# Inputs that a machine is rebooted for when they change: bpg v0.111.1, proxmoxtf/resource/vm/vm.go
# and container/container.go, `rebootRequired`. (An LXC gets its cores while it runs.)
REBOOTS = {
    VM: ("agent", "cpu", "hostpcis", "initialization", "machine", "memory", "networkDevices"),
    LXC: ("features", "initialization", "memory", "networkInterfaces"),
}
Record = Mapping[str, Mapping[str, Any]]


@dataclass
class Edited:
    """What was said of a change, and what the engine wrote down of each layer before and after."""

    said: dict[str, Any]
    effects: Effects
    before: dict[str, Record]
    after: dict[str, Record]
    rebooted: set[str]

    def equal(self) -> None:
        """AssertionError where what was said is not what was done."""
        for layer, done in self.said["layers"].items():
            assert done == happened(self.before[layer], self.after[layer]), layer
        assert set(self.effects.reboots) == self.rebooted
        containers = {
            word: {
                name.removeprefix("Container ").removesuffix("-container")
                for layer in self.said["layers"].values()
                for name in layer[word]
                if name.startswith("Container ")
            }
            for word in ("replaced", "deleted")
        }
        away = self.effects.away
        assert {one.service for one in away if not one.off} == containers["replaced"]
        assert {one.service for one in away if one.off} == containers["deleted"]


def happened(before: Record, after: Record) -> dict[str, list[str]]:
    """What became of resources: a replaced one was created again, another only modified."""
    found: dict[str, list[str]] = {word: [] for word in CHANGES}
    for urn in sorted(before.keys() | after.keys()):
        old, new = before.get(urn), after.get(urn)
        name = named((old or new or {})["type"].rpartition(":")[2], urn.rpartition("::")[2])
        if not old or not new:
            found["created" if new else "deleted"].append(name)
        elif old["created"] != new["created"]:
            found["replaced"].append(name)
        elif old["modified"] != new["modified"]:
            found["updated"].append(name)
    return {word: sorted(names) for word, names in found.items()}


def record(here: Lab, layers: tuple[str, ...]) -> dict[str, Record]:
    """The engine's own record of what there is, by layer and URN."""
    return {
        layer: {
            entry["urn"]: entry
            for entry in here.scratch.engine.resources(here.scratch.stack(layer))
            if entry.get("custom") and not entry["type"].startswith("pulumi:")
        }
        for layer in layers
    }


def machines(here: Lab) -> dict[str, list[Any]]:
    """Machine -> what it is rebooted for when it changes."""
    return {
        item.name.rpartition("-")[0]: [item.inputs.get(name) for name in REBOOTS[item.type]]
        for item in here.world.find(*REBOOTS)
    }


def edit(here: Lab, *texts: str, layers: tuple[str, ...] = LAYERS) -> Edited:
    """Edit settings of a lab that stands."""
    edits = [Edit.parse(text, here.scratch.file.name) for text in texts]
    rehearsal = Rehearsal(scratch=here.scratch, world=here.world)
    before, were = record(here, layers), machines(here)
    change = Change(edits=edits)
    rehearsal.edit(change)
    rehearsal.up(layers)
    now = machines(here)
    return Edited(
        said=report.changes(rehearsal, change),
        effects=report.effects_of(rehearsal),
        before=before,
        after=record(here, layers),
        rebooted={name for name in were if name in now and now[name] != were[name]},
    )
