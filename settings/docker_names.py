"""Rules on names that are made of settings and go to Docker, its DNS and its registries."""

from collections.abc import Iterator

from settings.foundation.cache import Cache
from settings.platform.gitlab import GitLab
from settings.sections import Fault
from settings.services.gitlab_project import GitLabProject
from settings.target import DockerTarget, ProxmoxTarget

MOST_LABEL = 63  # characters between two dots of a name in DNS (RFC 1035)
# distribution/reference, NameTotalLengthMax: up to 0.5, which the Docker provider and Docker before
# 27 have, with the host; later without.
MOST_IMAGE = 255
LONGEST_IMAGE = "model-server"  # of those that the lab builds


def registries(target: DockerTarget, cache: Cache) -> Iterator[Fault]:
    """In `dev` the cache finds an upstream's registry by its container's name."""
    for name, upstream in cache.upstreams.items():
        if upstream.kind == "oci" and len(container := f"cache-{name}") > MOST_LABEL:
            most = MOST_LABEL - len(container) + len(name)
            text = f"has {len(name)} characters; the most for kind oci is {most}, as the name of "
            yield f"foundation.cache.upstreams.{name}", f"{text}its container is one in DNS"


def images(
    target: ProxmoxTarget, domain: str, gitlab: GitLab, home: GitLabProject
) -> Iterator[Fault]:
    """The names of the lab's own images in GitLab's registry are not too long."""
    if not gitlab.enabled:
        return
    registry = f"registry.{domain}:{gitlab.registry_port}"
    name = f"{registry}/{home.group}/{home.project}/{LONGEST_IMAGE}"
    if (over := len(name) - MOST_IMAGE) > 0:
        text = f"an image's name such as registry.DOMAIN:PORT/{home.group}/{home.project}/"
        yield "common.domain", f"{text}{LONGEST_IMAGE} has {over} characters too many; shorten one"


RULES = (registries, images)
