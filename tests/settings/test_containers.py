"""The containers that the settings want are those that the program makes, with the same images."""

import pytest

from settings import images
from settings.containers import Wanted, docker_name, wanted
from settings.images import entry
from tests.harness.deploy import settings_of
from tests.layers.containers import VARIANTS, world

CONTAINER = "docker:index/container:Container"
REGISTRY = {
    "foundation.cache.upstreams.hub": {
        "kind": "oci",
        "url": "https://registry-1.docker.io",
        "registry": "docker.io",
        "container": {"memory_mib": 64},
    }
}


def of(variant: str) -> dict[str, Wanted]:
    environment, change = VARIANTS[variant]
    return {one.name: one for one in wanted(settings_of(environment, change))}


@pytest.mark.parametrize("variant", VARIANTS)
def test_they_are_those_that_the_program_makes(variant: str) -> None:
    made = {
        str(resource.inputs["name"]): (name, int(resource.inputs["memory"]))
        for name, layer in world(variant).items()
        for resource in layer.all(CONTAINER)
    }
    assert made == {
        one.docker_name: (one.service.layer, one.memory_mib) for one in of(variant).values()
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_they_run_the_images_that_the_program_gives_them(variant: str) -> None:
    layers = world(variant)
    for one in of(variant).values():
        layer = layers[one.service.layer]
        if one.built:
            assert layer.one("docker:index/image:Image", f"{one.image}-build")
            continue
        given = layer.one("docker:index/remoteImage:RemoteImage", f"{one.name}-image").inputs
        name = entry(images.catalogue().images, "images", one.image).name
        # Behind the cache the registry is another, and the rest of the name is the same.
        assert given["name"].endswith(name.partition("/")[2])


def test_an_entry_of_a_map_has_a_container_of_its_own() -> None:
    found = {one.name: one for one in wanted(settings_of("dev", REGISTRY))}
    assert found["cache-hub"].image == "registry"
    assert found["cache-hub"].memory_mib == 64
    assert found["cache-hub"].docker_name == docker_name("cache-hub") == "datalab-cache-hub"
