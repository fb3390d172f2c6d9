"""The containers that the settings want, and what each of them runs."""

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from settings import images
from settings.budget import budget
from settings.declarations import BY_KEY, RECIPES
from settings.packaged import stand_in
from settings.recipe import Recipe
from settings.service import Service

if TYPE_CHECKING:
    from settings import Settings

LAYER_LABEL, SERVICE_LABEL = "org.datalab.layer", "org.datalab.service"
LIMITS = ".container"  # the end of the key of what runs; the limits of CI's jobs have other ends


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A container; `image` is an entry of images.yaml, or an image that the lab builds."""

    service: Service
    name: str
    image: str
    memory_mib: int

    @property
    def docker_name(self) -> str:
        """Its name in the engine."""
        return docker_name(self.name)

    @property
    def built(self) -> bool:
        """Whether the lab builds what it runs."""
        return self.image in self.service.images


def docker_name(name: str) -> str:
    """What the container `name` is called in the engine."""
    return f"datalab-{name}"


def image_of(settings: "Settings", service: Service) -> str:
    """What the service's container runs: an entry of images.yaml, or an image that is built."""
    if service.image_setting:
        chosen: str = attrgetter(f"{service.key}.{service.image_setting}")(settings)
        return chosen
    return service.image or service.name


def pulled(settings: "Settings", service: Service) -> str:
    """The reference of the vendor's image that the service's container runs."""
    return images.image(image_of(settings, service))


def from_packages(settings: "Settings") -> bool:
    """Whether the vendors' images are made here, and providers are local ones."""
    target = settings.common.target
    return target.kind == "docker" and target.images == "packages"


def taken(settings: "Settings", reference: str) -> str:
    """A vendor's image by its own name, or the one that is made from packages in its place."""
    return stand_in(reference) if from_packages(settings) else reference


def recipe(settings: "Settings", image: str) -> Recipe:
    """What the lab's own image is built from, on these settings."""
    found = RECIPES[image]()
    base = {key: taken(settings, reference) for key, reference in found.base.items()}
    return replace(found, base=base)


def wanted(settings: "Settings") -> list[Wanted]:
    """Every container that these settings want, lowest layer first."""
    found = []
    for load in budget(settings).containers:
        service = _owner(load.key)
        if service is None or not load.key.endswith(LIMITS):
            continue
        own = load.key == service.key + LIMITS
        # The last but one: the entry of a map, such as foundation.cache.upstreams.hub.container.
        entry = load.key.removesuffix(LIMITS).rpartition(".")[2]
        found.append(
            Wanted(
                service=service,
                name=service.name if own else f"{service.name}-{entry}",
                image=image_of(settings, service) if own else service.image_of_entries,
                memory_mib=load.memory_mib,
            )
        )
    order = list(BY_KEY)
    return sorted(found, key=lambda one: (order.index(one.service.key), one.name))


def _owner(key: str) -> Service | None:
    """The service that has the setting `key`."""
    return BY_KEY.get(".".join(key.split(".")[:2]))
