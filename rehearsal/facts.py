"""What the simulated world is made of before anything is deployed: plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from settings.target import PciDevice, Storage


@dataclass(frozen=True, kw_only=True)
class WorldFacts:
    """What one environment begins with.

    node is the Proxmox VE node's name; empty where there is only a Docker engine. names maps host
    names to addresses. built_here are beginnings of image names that nobody else publishes: such an
    image exists once it was built. engine_address is the local Docker engine's. folder is where
    relative paths of programs begin. in_luck is set while an earlier commit's program runs: the lab
    that it made is there, so what goes wrong in some runs only went well.

    What fits is not simulated: settings/rules.py and settings/budget.py refuse what does not.
    """

    node: str = ""
    storages: Mapping[str, Storage] = field(default_factory=dict)
    pci: tuple[PciDevice, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    built_here: tuple[str, ...] = ()
    engine_address: str = "127.0.0.1"
    folder: str = "."
    in_luck: bool = False
