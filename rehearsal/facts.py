"""What the simulated world is made of before anything is deployed: plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from settings.target import PciDevice, Storage


@dataclass(frozen=True, kw_only=True)
class WorldFacts:
    """One environment's ground.

    node is the Proxmox VE node's name; empty where there is only a Docker engine. names maps
    host names to addresses. built_here are beginnings of image names that nobody else publishes:
    such an image exists once it was built. engine_* describe the local Docker engine; its cores
    stand for those of the Docker VM too. folder is where relative paths of programs begin.
    """

    node: str = ""
    cores: int = 0
    memory_mib: int = 0
    reserved_mib: int = 0
    bridges: tuple[str, ...] = ()
    storages: Mapping[str, Storage] = field(default_factory=dict)
    pci: tuple[PciDevice, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    built_here: tuple[str, ...] = ()
    engine_address: str = "127.0.0.1"
    engine_cores: int = 16
    engine_gpu: bool = False
    folder: str = "."
