"""What a rehearsal shows in the end: layers, hosts, containers, addresses, the budget."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.table import Table

from cli.lib.effects import Effects, effects, lines
from cli.lib.tables import grid
from cli.lib.tables import tables as budget_tables
from rehearsal.catalogue import at
from rehearsal.result import CHANGES, Change
from rehearsal.rules.docker import CONTAINER, IMAGE
from rehearsal.rules.proxmox import LXC, VM, WORDS
from rehearsal.run import Rehearsal
from settings.budget import budget
from settings.names import endpoints


def data(rehearsal: Rehearsal) -> dict[str, Any]:
    """Everything that the tables say, for JSON; taken while the lab is up."""
    settings = rehearsal.scratch.settings
    planned = budget(settings)
    return {
        "environment": rehearsal.scratch.env,
        "layers": [
            {
                "layer": result.layer,
                "resources": result.resources,
                "up_s": result.up_s,
                "preview_s": result.preview_s,
                "down_s": result.down_s,
            }
            for result in rehearsal.results
        ],
        "hosts": list(_hosts(rehearsal)),
        "containers": list(_containers(rehearsal)),
        "urls": {
            endpoint.label: endpoint.url
            for endpoint in endpoints(settings).values()
            if endpoint.label
        },
        "budget": {
            "machines_mib": planned.dedicated_mib,
            "machines_at_least_mib": planned.floor_mib,
            "node_mib": planned.node.memory_mib if planned.node else None,
            "containers_mib": planned.containers_mib,
            "docker_host_mib": planned.docker.memory_mib if planned.docker else None,
            "warnings": list(planned.warnings),
        },
        "recovered": rehearsal.recovered,
        "renewed": rehearsal.renewed,
    }


def changes(rehearsal: Rehearsal, change: Change) -> dict[str, Any]:
    """What a change made of the lab that stood."""
    layers = {result.layer: result.changes for result in rehearsal.results}
    return {
        "environment": rehearsal.scratch.env,
        "from": change.commit or None,
        "set": [edit.text for edit in change.edits],
        "layers": layers,
        "sum": {word: sum(len(found[word]) for found in layers.values()) for word in CHANGES},
        "effects": asdict(effects_of(rehearsal)),
        "recovered": rehearsal.recovered,
    }


def effects_of(rehearsal: Rehearsal) -> Effects:
    """What the change means to those who use the lab."""
    times = {
        item.name: (item.get("destroyGraceSeconds"), item.get("waitTimeout"))
        for item in rehearsal.world.find(CONTAINER)
    }
    steps = (step for result in rehearsal.results for step in result.steps)
    return effects(steps, times, rehearsal.data)


def change_lines(shown: Mapping[str, Any], rehearsal: Rehearsal) -> Iterator[str]:
    """`changes` for a terminal: a line for each resource, and one for a layer that has none."""
    for layer, found in shown["layers"].items():
        found_lines = [f"{layer}: {word} {name}" for word in CHANGES for name in found[word]]
        yield from found_lines or [f"{layer}: nothing to do"]
    yield from lines(effects_of(rehearsal))


def _hosts(rehearsal: Rehearsal) -> Iterator[dict[str, Any]]:
    engine = rehearsal.scratch.settings.common.target
    if engine.kind == "docker":
        yield {
            "host": "this machine's Docker engine",
            "kind": "engine",
            "address": str(engine.address),
            "cores": engine.cores,
            "memory_mib": engine.memory_mib,
        }
    for machine in sorted(rehearsal.world.find(VM, LXC), key=lambda machine: machine.id):
        addresses = at(machine.inputs, "initialization.ipConfigs[].ipv4.address")
        yield {
            "host": next(at(machine.inputs, "initialization.hostname"), machine.get("name")),
            "kind": f"{WORDS[machine.type]} {machine.id}",
            "address": next(addresses, "").partition("/")[0],
            "cores": next(at(machine.inputs, "cpu.cores"), 1),
            "memory_mib": next(at(machine.inputs, "memory.dedicated"), 0),
        }


def _containers(rehearsal: Rehearsal) -> Iterator[dict[str, Any]]:
    images = {image.get("imageId"): image.get("name") for image in rehearsal.world.find(IMAGE)}
    found = rehearsal.world.find(CONTAINER)
    for container in sorted(found, key=lambda container: str(container.get("name"))):
        image = container.get("image")
        yield {
            "container": container.get("name"),
            "image": images.get(image, image),
            "memory_mib": container.get("memory", 0),
        }


def tables(shown: dict[str, Any], rehearsal: Rehearsal) -> Iterator[Table]:
    """The tables for a terminal."""
    layers = [
        (row["layer"], row["resources"], *(f"{row[name]:.1f}" for name in ("up_s", "preview_s")))
        for row in shown["layers"]
    ]
    seconds = sum(row["up_s"] + row["preview_s"] for row in shown["layers"])
    resources = sum(row["resources"] for row in shown["layers"])
    yield grid(
        "Layers (seconds)",
        ("layer", "resources created", "up", "preview without changes"),
        layers,
        ("sum", resources, f"{seconds:.1f}", ""),
    )
    for title, name in (("Hosts (MiB)", "hosts"), ("Containers (MiB)", "containers")):
        rows = shown[name]
        if rows:
            heads = tuple(rows[0])
            yield grid(title, heads, [tuple(row.values()) for row in rows])
    yield grid("Addresses", ("what", "where"), list(shown["urls"].items()))
    yield from budget_tables(budget(rehearsal.scratch.settings))
