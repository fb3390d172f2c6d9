"""How images are built on the lab's engine."""

from urllib.parse import urlsplit

from settings import Settings
from settings.foundation.cache import Cache
from settings.mirrors import urls
from settings.names import endpoints, machine_hosts
from targets.image import Builder

# GitLab takes any name with a token as password.
REGISTRY_USER = "datalab"


def builder(settings: Settings) -> Builder:
    """How images are built on the lab's engine, by `up` and by the pipelines' images job."""
    local = settings.common.target.kind == "docker"
    return Builder(
        sources=_sources(settings),
        hosts=machine_hosts(settings),
        platform=None if local else "linux/amd64",  # what Proxmox VE runs on
    )


def _sources(settings: Settings) -> dict[str, str]:
    """Build arguments, by the upstreams that the package cache has."""
    found = urls(settings.get(Cache), endpoints(settings)["cache"].url)
    arguments = {}
    if mirror := found.get("apt", {}).get("ubuntu"):
        arguments["UBUNTU_MIRROR"] = mirror
    if index := found.get("pypi"):
        arguments["PIP_INDEX_URL"] = index[min(index)]
        # The cache has no TLS; pip checks the hashes of requirements.txt.
        arguments["PIP_TRUSTED_HOST"] = urlsplit(arguments["PIP_INDEX_URL"]).hostname or ""
    if packages := found.get("npm"):
        arguments["NPM_CONFIG_REGISTRY"] = packages[min(packages)]
    return arguments
