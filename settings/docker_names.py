"""Rules on names that are made of settings and go to Docker and its DNS."""

from collections.abc import Iterator

from settings.foundation.cache import Cache
from settings.sections import Fault
from settings.target import DockerTarget

MOST_LABEL = 63  # characters between two dots of a name in DNS (RFC 1035)


def registries(target: DockerTarget, cache: Cache) -> Iterator[Fault]:
    """In `dev` the cache finds an upstream's registry by its container's name."""
    for name, upstream in cache.upstreams.items():
        if upstream.kind == "oci" and len(container := f"cache-{name}") > MOST_LABEL:
            most = MOST_LABEL - len(container) + len(name)
            text = f"has {len(name)} characters; the most for kind oci is {most}, as the name of "
            yield f"foundation.cache.upstreams.{name}", f"{text}its container is one in DNS"


RULES = (registries,)
