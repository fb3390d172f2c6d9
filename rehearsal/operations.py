"""One operation on the world, from the engine's call to what it is told."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from cli.lib.repair import import_id
from rehearsal import catalogue, diff
from rehearsal.catalogue import Need
from rehearsal.reach import listens, reach, server
from rehearsal.refusals import RefusedError
from rehearsal.rules import OUTPUTS, RULES, Step
from rehearsal.world import Call, Item, Mark, World

# Registers the rules.
from rehearsal.rules import docker, gitlab, local, proxmox, stores, tls  # noqa: F401  # isort: skip

SERVERS = (docker.CONTAINER, proxmox.VM)


def create(step: Step, secrets: list[str]) -> Item:
    """Make a thing, or take over what is there where the API does so."""
    with step.world.lock:
        _admit(step)
        kind = catalogue.kind(step.type)
        own = {"serial": step.world.next_serial()} if "{serial}" in kind.id else {}
        computed = computed_by(step)
        item = Item(
            type=step.type,
            id=catalogue.render(kind.id, {**step.inputs, **own, **computed}),
            scope=step.scope,
            name=step.name,
            inputs=dict(step.inputs),
            outputs=computed,
            secrets=secrets,
        )
        _refuse_twin(step, item)
        return _keep(step, item, computed)


def update(step: Step, secrets: list[str]) -> Item:
    """Change a thing in place."""
    with step.world.lock:
        _admit(step)
        computed = computed_by(step)
        item = replace(
            step.existing,
            id=str(computed.get("id", step.existing.id)),  # what was renewed may have another
            inputs=dict(step.inputs),
            outputs=step.existing.outputs | computed,
            secrets=sorted({*secrets, *step.existing.secrets}),
        )
        step.world.items.pop(step.existing.key, None)
        return _keep(step, item, computed, step.existing.inputs)


def delete(step: Step) -> None:
    """Remove a thing and what goes with it; what is gone already is no error."""
    with step.world.lock:
        world, old = step.world, step.existing
        if old.key not in world.items:
            world.refuse_on_demand(step.type, step.name)
        else:
            _admit(step)
            for item in [old, *_going_along(step, old)]:
                world.items.pop(item.key, None)
                _mark(step, item)
            if old.type in SERVERS:  # with a server goes what it remembered
                world.marked = [
                    mark
                    for mark in world.marked
                    if not mark.host or listens(world, mark.host, mark.port)
                ]
        _count(step)


def look_up(step: Step, id_: str) -> Item | None:
    """What has this id, or would be imported by it."""
    with step.world.lock:
        for item in step.world.find(step.type, scope=step.scope):
            if id_ in (item.id, import_id(item.type, item.inputs)):
                return item
    return None


def found(world: World, type_: str, inputs: Mapping[str, Any]) -> str | None:
    """What cli.lookup.find asks running servers for: the id of the thing with these inputs."""
    known = ("description", "name", "namespaceId", "path", "project")
    names = [name for name in known if name in inputs]
    with world.lock:
        for item in world.find(type_):
            if names and all(item.get(name) == inputs[name] for name in names):
                return item.id
    return None


def _count(step: Step, before: Mapping[str, Any] | None = None) -> None:
    paths = () if before is None else diff.changes(_opened(before), _opened(step.inputs))
    step.world.called(
        Call(
            type=step.type,
            name=step.name,
            operation=step.operation,
            changed=tuple(path for path, _ in paths),
        )
    )


def _opened(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs with what a run of roles is given, which is JSON in one text (targets/ansible.py)."""
    try:
        return {**inputs, "stdin": json.loads(inputs["stdin"])}
    except (KeyError, TypeError, ValueError):
        return dict(inputs)


def computed_by(step: Step) -> dict[str, Any]:
    """Outputs: by the catalogue's templates, and by rules."""
    templates = catalogue.kind(step.type).outputs or {}
    made = {name: catalogue.render(text, step.inputs) for name, text in templates.items()}
    return made | (OUTPUTS[step.type](step) if step.type in OUTPUTS else {})


def _keep(
    step: Step,
    item: Item,
    computed: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> Item:
    made = (computed.get(name) for name in item.secrets)
    step.world.secrets.update(text for text in made if isinstance(text, str) and text)
    if not catalogue.kind(step.type).in_state:
        step.world.items[item.key] = item
    _count(step, before)
    return item


def _admit(step: Step) -> None:
    """Raise RefusedError where the API refuses the step."""
    kind = catalogue.kind(step.type)
    step.world.refuse_on_demand(step.type, step.name)
    reach(step.world, step.type.partition(":")[0], step.config)
    for rule in RULES.get((step.type, step.operation), ()):
        rule(step)
    if step.operation == "delete":
        old = step.existing
        for need, item in _holders(step, old):
            if need.holds:
                raise RefusedError(need.holds, id=old.id, name=_name(old), by=_name(item))
        return
    catalogue.limited(kind.limits, step.inputs, "apply")
    for need in kind.needs:
        for value in catalogue.at(step.inputs, need.property):
            there = any(_is(need, value, other) for other in step.others(need.type))
            if need.missing and not there and value not in need.always:
                raise RefusedError(need.missing, value=value)


def _refuse_twin(step: Step, item: Item) -> None:
    kind = catalogue.kind(step.type)
    if kind.taken is None:
        return
    mine = [item.get(name) for name in kind.unique] or [item.id]
    for other in step.others(step.type):
        if mine == ([other.get(name) for name in kind.unique] or [other.id]):
            raise RefusedError(kind.taken, id=other.id, name=_name(item))
    for mark in step.world.marked:
        if (mark.type, mark.scope, mark.unique) == (step.type, step.scope, mine):
            raise RefusedError("gitlab-path-marked", name=_name(item))


def _mark(step: Step, item: Item) -> None:
    """Remember what the server only hides for some days."""
    kind = catalogue.kind(item.type)
    if kind.marks:
        host, port = server(item.type.partition(":")[0], step.config) or ("", 0)
        unique = [item.get(name) for name in kind.unique]
        mark = Mark(type=item.type, scope=item.scope, unique=unique, host=host, port=port)
        step.world.marked.append(mark)


def _name(item: Item) -> str:
    return str(item.get("name") or item.get("path") or item.id)


def _is(need: Need, value: Any, item: Item) -> bool:
    known = {str(item.id) if name == "id" else str(item.get(name)) for name in need.by}
    return str(value) in known


def _holders(step: Step, target: Item) -> Iterator[tuple[Need, Item]]:
    """What refers to a thing."""
    for item in list(step.world.items.values()):
        if item.scope != target.scope:
            continue
        for need in catalogue.kind(item.type).needs:
            values = catalogue.at(item.inputs, need.property)
            if need.type == target.type and any(_is(need, value, target) for value in values):
                yield need, item


def _going_along(step: Step, target: Item) -> Iterator[Item]:
    for need, item in _holders(step, target):
        if need.cascade:
            yield item
            yield from _going_along(step, item)
