"""What the settings have switched off goes from the top: first what needs it.

Lowest first, `up` would take a server away and then ask it to delete what is in it: a GitLab that
is gone cannot delete its projects, and the layer above would fail for ever.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from cli.lib import ask
from cli.lib.fault import Fault, say
from cli.lib.pulumi import Engine
from layers import LAYERS

SERVERS = ("Container", "ContainerLegacy", "VmLegacy")  # what runs, of Docker and of Proxmox VE
VOLUME = "docker:index/volume:Volume"
AT_ONCE = 2  # a preview takes about 250 MB


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What `up` of one layer would delete: URNs. error says why that could not be found out.

    protected says of each whether it is a thing itself, and not only the component of some.
    """

    layer: str
    deleted: tuple[str, ...] = ()
    protected: Mapping[str, bool] = field(default_factory=dict)
    servers: tuple[str, ...] = ()
    error: str = ""

    @property
    def topics(self) -> list[str]:
        """The Kafka topics that leave the settings: commands, whose topics hold data."""
        return sorted(
            name(urn).removesuffix("-topic")
            for urn in self.deleted
            if urn.endswith("-topic") and "command:local:Command" in urn
        )

    @property
    def volumes(self) -> list[str]:
        """The URNs of protected volumes: Docker gives them to who asks for their names again."""
        return sorted(urn for urn in self.protected if VOLUME in urn)

    @property
    def stuck(self) -> bool:
        """Whether something is protected that could not be had again, once it left the state."""
        return any(thing and urn not in self.volumes for urn, thing in self.protected.items())

    @property
    def held(self) -> list[str]:
        """The names of the things that are protected."""
        return sorted(name(urn) for urn, thing in self.protected.items() if thing)


def planned(engine: Engine, env: str, layers: Sequence[str]) -> list[Removal]:
    """What each layer's `up` would delete, highest first; nothing is touched."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda layer: _planned(engine, env, layer), reversed(layers)))


def _planned(engine: Engine, env: str, layer: str) -> Removal:
    stack = f"{env}-{layer}"
    # --show-sames, as what is not in the preview is what would be deleted: a preview ends at the
    # first protected one, and says nothing of the others.
    preview = engine.preview(stack, "--show-sames")
    if not preview.data:
        return Removal(layer=layer, error=preview.said)
    wanted = {step["urn"] for step in preview.steps if step["op"] != "delete"}
    gone = [
        entry
        for entry in engine.resources(stack)
        if entry["urn"] not in wanted
        and not entry.get("delete")
        and not entry["type"].startswith("pulumi:")
    ]
    things = [entry for entry in gone if entry.get("custom")]
    # A component can be protected like what is in it, and then hinders the same.
    protected = {entry["urn"]: bool(entry.get("custom")) for entry in gone if entry.get("protect")}
    if preview.code and not any(error.get("urn") in protected for error in preview.errors):
        said = "".join(error["message"] for error in preview.errors).strip()
        return Removal(layer=layer, error=said)
    return Removal(
        layer=layer,
        deleted=tuple(entry["urn"] for entry in things),
        protected=protected,
        servers=tuple(entry["urn"] for entry in things if is_server(entry)),
    )


def is_server(entry: Mapping[str, Any]) -> bool:
    """Whether a resource of a state is a container or a machine."""
    return str(entry["type"]).rpartition(":")[2] in SERVERS


def from_the_top(found: Sequence[Removal]) -> list[str]:
    """The layers that must be brought up first, highest first: a lower one loses something too.

    Fault where a layer may need a server that a lower one would delete, and nobody knows.
    """
    losing = [removal.layer for removal in found if removal.deleted]
    servers = [removal for removal in found if removal.servers]
    for removal in found:
        lower = [r for r in servers if LAYERS.index(r.layer) < LAYERS.index(removal.layer)]
        if removal.error and lower:
            raise Fault(
                f"the settings switch off {', '.join(map(name, lower[0].servers))} of "
                f"{lower[0].layer}, and what {removal.layer} has in it cannot be told. What is "
                f"switched on at the same time may have to wait for another `up`:\n{removal.error}"
            )
    return losing[:-1]


def allow(engine: Engine, env: str, found: Sequence[Removal], *, data: bool) -> bool:
    """Whether topics go with their data; what is protected loses its protection.

    Both only if `data` and confirmed. Otherwise topics and volumes are kept, though the state no
    longer has them; Fault where something else is protected.
    """
    held = [removal for removal in found if removal.protected]
    topics = [topic for removal in found for topic in removal.topics]
    if not data and any(removal.stuck for removal in held):
        _name_held(env, held)
        raise Fault(
            "the settings no longer want what holds data; nothing was touched. To keep it, put it "
            f"back. To delete it with its data: ./lab up {env} --data"
        )
    names = [name for removal in held for name in removal.held] + topics
    if not names:
        return False
    if not data:
        say(
            f"no longer in the settings, and kept with their data: {', '.join(names)}; "
            f"./lab up {env} --data deletes them"
        )
        for removal in held:
            _leave(engine, f"{env}-{removal.layer}", removal.volumes)
        return False
    _name_held(env, held)
    ask.typed(env, f"This deletes with its data: {', '.join(names)}")
    for removal in held:
        for urn in removal.protected:
            engine.capture("state", "unprotect", urn, "--yes", "-s", f"{env}-{removal.layer}")
    return bool(topics)


def _name_held(env: str, held: Sequence[Removal]) -> None:
    for removal in held:
        say(f"{env}-{removal.layer}: protected: {', '.join(removal.held)}")


def _leave(engine: Engine, stack: str, urns: Sequence[str]) -> None:
    """Let `up` take volumes out of the state and leave them on the engine.

    As ResourceOptions(retain_on_delete=True) would: the program says nothing of them any more.
    """
    state = json.loads(engine.capture("stack", "export", "-s", stack))
    for entry in state["deployment"]["resources"]:
        if entry["urn"] in urns:
            entry |= {"protect": False, "retainOnDelete": True}
    engine.capture("stack", "import", "-s", stack, text=json.dumps(state))


def name(urn: str) -> str:
    """A resource's name in the program."""
    return urn.rpartition("::")[2]
