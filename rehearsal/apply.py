"""One operation on the world, from the engine's call to what it is told."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cli.lib.repair import import_id
from rehearsal import catalogue
from rehearsal.catalogue import Kind, Need
from rehearsal.physics import OUTPUTS, RULES, Step
from rehearsal.reach import listens, reach, server
from rehearsal.refusals import RefusedError
from rehearsal.world import Call, Item, Mark, World

# Registers the rules.
from rehearsal.physics import docker, gitlab, keys, local, proxmox, stores  # noqa: F401  # isort: skip

SERVERS = (docker.CONTAINER, proxmox.VM)


@dataclass(frozen=True)
class Applied:
    """What came of an operation; `instead` is what to do instead of answering, if anything."""

    item: Item
    instead: Callable[[], None] | None


def create(package: str, step: Step, secrets: list[str]) -> Applied:
    """Make a thing, or take over what is there where the API does so."""
    with step.world.lock:
        kind = _admit(package, step)
        values = dict(step.inputs)
        serial = "{serial}" in kind.id
        if serial:
            values["serial"] = step.world.next_serial()
        computed = OUTPUTS[step.type](step) if step.type in OUTPUTS else {}
        id_ = catalogue.render(kind.id, values | computed)
        item = Item(
            type=step.type,
            id=id_,
            scope=step.scope,
            name=step.name,
            inputs=dict(step.inputs),
            outputs=computed,
            secrets=secrets,
        )
        _refuse_twin(step, kind, item)
        _remember_secrets(step, computed, secrets)
        if not kind.in_state:
            step.world.items[item.key] = item
        return Applied(item, step.world.called(_call(step)))


def update(package: str, step: Step, secrets: list[str]) -> Applied:
    """Change a thing in place."""
    with step.world.lock:
        kind = _admit(package, step)
        computed = OUTPUTS[step.type](step) if step.type in OUTPUTS else {}
        item = replace(
            step.existing,
            id=str(computed.get("id", step.existing.id)),  # what was renewed may have another
            inputs=dict(step.inputs),
            outputs=step.existing.outputs | computed,
            secrets=sorted({*secrets, *step.existing.secrets}),
        )
        _remember_secrets(step, computed, secrets)
        if not kind.in_state:
            step.world.items.pop(step.existing.key, None)
            step.world.items[item.key] = item
        return Applied(item, step.world.called(_call(step)))


def delete(package: str, step: Step) -> Applied:
    """Remove a thing and what goes with it; what is gone already is no error."""
    with step.world.lock:
        old = step.existing
        if old.key in step.world.items:
            _admit(package, step)
            going = [old, *_going_along(step, old)]
            for item in going:
                step.world.items.pop(item.key, None)
                _mark(package, step, item)
            if old.type in SERVERS:  # with a server goes what it remembered
                step.world.marked = [
                    mark for mark in step.world.marked if listens(step.world, mark.host, mark.port)
                ]
        else:
            step.world.refuse_on_demand(step.type, step.name)
        return Applied(old, step.world.called(_call(step)))


def look_up(step: Step, id_: str) -> Item | None:
    """What has this id, or would be imported by it."""
    with step.world.lock:
        for item in step.world.find(step.type, scope=step.scope):
            if id_ in (item.id, import_id(item.type, item.inputs)):
                return item
    return None


def _call(step: Step) -> Call:
    return Call(type=step.type, name=step.name, operation=step.operation)


def _admit(package: str, step: Step) -> Kind:
    """Raise RefusedError where the API refuses the step."""
    kind = catalogue.kind(step.type)
    step.world.refuse_on_demand(step.type, step.name)
    reach(step.world, package, step.config)
    for rule in RULES.get((step.type, step.operation), ()):
        rule(step)
    if step.operation == "delete":
        old = step.existing
        for need, item in _holders(step, old):
            if need.holds:
                raise RefusedError(need.holds, id=old.id, name=_name(old), by=_name(item))
    else:
        for need in kind.needs:
            for value in catalogue.at(step.inputs, need.property):
                there = any(_is(need, value, other) for other in step.others(need.type))
                if need.missing and not there and value not in need.always:
                    raise RefusedError(need.missing, value=value)
    return kind


def _remember_secrets(step: Step, computed: Mapping[str, Any], secrets: list[str]) -> None:
    made = (computed[name] for name in secrets if name in computed)
    step.world.secrets.update(text for text in made if isinstance(text, str) and text)


def _refuse_twin(step: Step, kind: Kind, item: Item) -> None:
    if kind.taken is None:
        return
    mine = [item.get(name) for name in kind.unique] or [item.id]
    for other in step.others(step.type):
        theirs = [other.get(name) for name in kind.unique] or [other.id]
        if mine == theirs:
            raise RefusedError(kind.taken, id=other.id, name=_name(item))
    for mark in step.world.marked:
        if (mark.type, mark.scope, mark.unique) == (step.type, step.scope, mine):
            raise RefusedError("gitlab-path-marked", name=_name(item))


def _mark(package: str, step: Step, item: Item) -> None:
    """Remember what the server only hides for some days."""
    kind = catalogue.kind(item.type)
    if kind.marks:
        host, port = server(package, step.config) or ("", 0)
        unique = [item.get(name) for name in kind.unique]
        step.world.marked.append(
            Mark(type=item.type, scope=item.scope, unique=unique, host=host, port=port)
        )


def _name(item: Item) -> str:
    return str(item.get("name") or item.get("path") or item.id)


def _is(need: Need, value: Any, item: Item) -> bool:
    known = {str(item.id) if name == "id" else str(item.get(name)) for name in need.by}
    return str(value) in known


def _holders(step: Step, target: Item) -> Iterator[tuple[Need, Item]]:
    """What refers to a thing."""
    for item in step.world.items.values():
        if item.scope != target.scope:
            continue
        for need in catalogue.kind(item.type).needs:
            if need.type == target.type and any(
                _is(need, value, target) for value in catalogue.at(item.inputs, need.property)
            ):
                yield need, item


def _going_along(step: Step, target: Item) -> Iterator[Item]:
    for need, item in list(_holders(step, target)):
        if need.cascade:
            yield item
            yield from _going_along(step, item)


def found(world: World, type_: str, inputs: Mapping[str, Any]) -> str | None:
    """What cli.lookup.find asks running servers for: the id of the thing with these inputs."""
    names = [name for name in ("description", "name", "namespaceId", "path", "project")
             if name in inputs]  # fmt: skip
    with world.lock:
        for item in world.find(type_):
            if names and all(item.get(name) == inputs[name] for name in names):
                return item.id
    return None
