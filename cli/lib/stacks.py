"""`preview`, `up` and `down`: plain Pulumi, layer after layer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cli.lib import ask, docker, reach, removals, repair, state
from cli.lib.backend import chosen, file_url, prepare, trust
from cli.lib.fault import Fault, say
from cli.lib.packaged import choose
from cli.lib.packaged.build import make, needed, providers
from cli.lib.pulumi import Engine
from layers import LAYERS
from provision.specs import DELETE_DATA


def require_made(env: str, layers: Sequence[str], known: Mapping[str, int]) -> None:
    """Fault naming the command to run where a stack is missing."""
    if any(f"{env}-{layer}" not in known for layer in layers):
        raise Fault(f"{env} has no stacks yet: run ./lab init {env} first")


def require_stacks(env: str, layers: Sequence[str], known: Mapping[str, int]) -> None:
    """Fault naming the one command to run where stacks, or layers below the lowest, are missing."""
    require_made(env, layers, known)
    below = LAYERS[: LAYERS.index(layers[0])]
    if missing := [layer for layer in below if not known.get(f"{env}-{layer}")]:
        raise Fault(
            f"{layers[0]} needs {' and '.join(missing)}, not up yet: "
            f"run ./lab up {env}, which brings up every layer"
        )


def make_stacks(engine: Engine, env: str) -> None:
    """Make the stacks of `env` that are not there yet."""
    known = engine.stacks()
    for layer in LAYERS:
        stack = f"{env}-{layer}"
        if stack in known:
            say(f"{stack} is there")
        else:
            engine.capture("stack", "init", stack)
            say(f"{stack} made")


def up(
    env: str,
    layer: str | None = None,
    *,
    yes: bool = False,
    data: bool = False,
    extra: Sequence[str] = (),
) -> int:
    """Bring layers up, lowest first; stops at the first that fails.

    What the settings have switched off is deleted before that, from the top.
    """
    engine, settings = prepare(env)
    layers = chosen(layer)
    known = engine.stacks()
    require_stacks(env, layers, known)
    reach.require(engine, settings, layers)
    if images := needed(settings):
        make(images, engine.variables, say)
        providers(engine.variables)
    first, topics_too = removed_first(engine, env, layer, known, data=data)
    if topics_too:
        engine = replace(engine, variables={**engine.variables, DELETE_DATA: "yes"})
    for each in (*first, *layers):
        stack = f"{env}-{each}"
        settle(engine, env, each, yes=yes)
        if code := engine.run("up", "-s", stack, *(["--yes"] if yes else []), *extra):
            return code
        if each == LAYERS[0] and engine.stacks().get(stack):
            state.keep_copy(engine, stack, settings.common.rescue.path)
        docker.require_health(engine, stack)
    return 0


def removed_first(
    engine: Engine, env: str, alone: str | None, known: Mapping[str, int], *, data: bool
) -> tuple[list[str], bool]:
    """The layers to bring up before the others, as they lose what needs what a lower one loses.

    Also whether topics that left the settings go with their data.
    Fault where what would go is protected, or a layer is asked for alone that others need.
    """
    lowest = LAYERS.index(alone) if alone else 0
    there = [layer for layer in LAYERS[lowest:] if known.get(f"{env}-{layer}")]
    if alone not in (None, *there):
        return [], False  # it is not up yet
    found = removals.planned(engine, env, there)
    first = removals.from_the_top(found) if alone is None else []
    own = next((removal for removal in found if removal.layer == alone), None)
    upper = [removal.layer for removal in found if removal.deleted and removal.layer != alone]
    if own and own.servers and upper:
        gone = ", ".join(map(removals.name, own.servers))
        raise Fault(f"{', '.join(upper)} needs {gone}, which is switched off: ./lab up {env}")
    topics = removals.allow(engine, env, [own] if own else found, data=data)
    if first:
        say(f"what the settings have switched off goes from the top: {', '.join(first)} first")
    return first, topics


def settle(engine: Engine, env: str, layer: str, *, yes: bool) -> None:
    """Offer `repair` where a killed `up` left something; Fault where that is declined."""
    stack = f"{env}-{layer}"
    # A store's locks cost a process to see; there `up` itself refuses and names them.
    left = repair.leftovers(engine, stack, repair.in_files(engine, stack))
    if not left:
        return
    for line in left:
        say(line)
    if not ask.confirmed(f"Repair {stack} first?", yes=yes):
        raise Fault(f"{stack} was left by a killed `up`: run ./lab repair {env} {layer}")
    repair.fix(engine, stack)


def down(
    env: str,
    layer: str | None = None,
    *,
    yes: bool = False,
    data: bool = False,
    extra: Sequence[str] = (),
) -> int:
    """Take layers down, highest first.

    Protected data stays, and with it the servers that hold it, which are named at the end;
    unless `--data` was confirmed.
    """
    engine, settings = prepare(env)
    known = engine.stacks()
    trust(engine, env, settings)
    layers = [name for name in reversed(chosen(layer)) if known.get(f"{env}-{name}")]
    if not layers:
        say(f"nothing of {env} is up")
        return 0
    options = ["--exclude-protected"]
    if data:
        stands = engine.variables["PULUMI_BACKEND_URL"] != file_url(env)
        if stands and LAYERS[0] in layers:
            raise Fault(
                f"the state of {env} is in the store that would be deleted: run "
                f"./lab state rescue {env} first"
            )
        ask.typed(env, f"This deletes the data of {env}: {', '.join(layers)}")
        options = ["--ignore-protect"]
    if yes or data:
        options.append("--yes")
    for each in layers:
        if code := engine.run("destroy", "-s", f"{env}-{each}", *options, *extra):
            return code
    for each in layers:
        stack = f"{env}-{each}"
        if left := servers(engine, stack):
            say(f"{stack}: still up, as data is on it: {', '.join(left)}")
    if data:
        choose.remaining(settings)
    return 0


def servers(engine: Engine, stack: str) -> list[str]:
    """The containers and machines that `stack` has, by their names in the program."""
    found = filter(removals.is_server, engine.resources(stack))
    return sorted(removals.name(entry["urn"]) for entry in found)
