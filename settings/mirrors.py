"""The addresses under which clients find the package cache's upstreams."""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from settings.foundation.cache import ALIASES, DOCKER_HUB, LINKING, PLUGIN_SOURCES, SIGNED, Cache

PASSWORDS = "datalab:upstreamPasswords"  # one secret map of all


def users(cache: Cache) -> list[str]:
    """The upstreams with a user, each of which needs a password."""
    return sorted(name for name, upstream in cache.upstreams.items() if upstream.user)


def set_passwords(environment: str, wanted: Sequence[str]) -> str:
    """What to run so that the settings hold the passwords of these upstreams and no other."""
    stack = f"-s {environment}-foundation"
    shape = json.dumps(dict.fromkeys(wanted, "PASSWORD"))
    if not wanted:
        return f"`pulumi config rm {PASSWORDS} {stack}` removes it"
    return (
        f"`pulumi config set --secret {PASSWORDS} {stack}` reads all from standard input: {shape}"
    )


def urls(cache: Cache, base: str) -> dict[str, dict[str, str]]:
    """Kind -> name -> the URL that clients of the cache at `base` use in the upstream's place.

    For oci it is the prefix of image references: `HOST:PORT/ghcr.io` for `ghcr.io/...`.
    """
    found: dict[str, dict[str, str]] = {}
    for name, upstream in sorted(cache.upstreams.items()):
        if upstream.kind == "oci":
            url = f"{urlsplit(base).netloc}/{upstream.registry}"
        elif upstream.kind in LINKING:
            # Their documents have links from the host's root, so the whole host is mirrored.
            url = f"{base}/{name}{upstream.path}/"
        else:
            url = f"{base}/{name}"
        found.setdefault(upstream.kind, {})[name] = url
    return found


def sources(cache: Cache, base: str) -> dict[str, str]:
    """Address of every apt and apk upstream, without its scheme -> its URL in the cache."""
    found = urls(cache, base)
    addresses = {
        upstream.url.partition("://")[2].rstrip("/"): found[upstream.kind][name]
        for name, upstream in cache.upstreams.items()
        if upstream.kind in SIGNED
    }
    same = {alias: addresses[known] for alias, known in ALIASES.items() if known in addresses}
    return dict(sorted({**same, **addresses}.items()))


def pulled(cache: Cache, base: str, reference: str) -> str:
    """The reference by which the lab's Docker host pulls an image with the cache at `base`.

    Docker Hub's stay as they are: the daemon has the cache as its mirror (role docker_host), and
    only where it has does it take images from the cache without TLS.
    """
    registries = {upstream.registry for upstream in cache.upstreams.values()}
    registry = reference.partition("/")[0]
    if registry == DOCKER_HUB or not {registry, DOCKER_HUB} <= registries:
        return reference
    return f"{urlsplit(base).netloc}/{reference}"


def environment(cache: Cache, base: str) -> dict[str, str]:
    """Variables with which pip, uv, npm and Pulumi use the cache at `base`."""
    found = urls(cache, base)
    plain = urlsplit(base).scheme == "http"
    variables: dict[str, str] = {}
    for index in list(found.get("pypi", {}).values())[:1]:
        variables |= {"PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": index}
        if plain:
            variables["PIP_TRUSTED_HOST"] = urlsplit(base).netloc
    for registry in list(found.get("npm", {}).values())[:1]:
        variables["NPM_CONFIG_REGISTRY"] = registry
    overrides = [
        f"{pattern}={base}/{name}{path}"
        for name, upstream in sorted(cache.upstreams.items(), reverse=True)
        if upstream.kind == "pulumi"
        for pattern, path in [PLUGIN_SOURCES.get(upstream.url, (f"^{upstream.url}", ""))]
    ]
    if overrides:
        variables["PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES"] = ",".join(overrides)
    return dict(sorted(variables.items()))


def for_machines(cache: Cache, urls: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What the package cache stands in for -> its URL there, of what `urls` says.

    An apt upstream is there by its name, as machines know the archives; and every one whose paths
    the cache keeps by its address, which vendors' downloads and keys begin with.
    """
    found = dict(urls.get("apt", {}))
    for kind in ("apt", "files", "pulumi"):
        for name, url in urls.get(kind, {}).items():
            found[cache.upstreams[name].url.rstrip("/")] = url
    return found
