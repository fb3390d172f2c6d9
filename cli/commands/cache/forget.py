"""`./lab cache forget URL`: one file of the package cache, replaced by what its origin has now."""

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

import httpx
from rich.filesize import decimal

from cli.lib import http
from cli.lib.backend import settings_of
from cli.lib.fault import Fault
from settings import ENVIRONMENTS, Settings
from settings.foundation.cache import ALIASES, INDEXES, LINKING, Cache
from settings.names import endpoints, service_at

# An origin may take its time for the first byte of a large file.
TIMEOUT_S = 120


def forget(url: str, answering: Callable[[], str]) -> str:
    """Replace what is stored of `url`, the cache's address of a file or its vendor's.

    Every slice is fetched again, as a rebuilt file may have kept its time and so its version. It
    is done as by any client, so it works from every machine that may use the cache. `answering`
    tells the environment whose cache answers.
    """
    settings, path = place(url, answering)
    address = f"{endpoints(settings)['cache'].url}{path}"
    name = path.split("/")[1]
    upstream = settings.foundation.cache.upstreams.get(name)
    if upstream is None:
        known = ", ".join(settings.foundation.cache.upstreams)
        raise Fault(f"{address}: the cache has no upstream {name}; it has {known}", 2)
    if upstream.kind == "oci":
        raise Fault(
            f"{address}: images are kept by digest, which never changes, and tags are asked about "
            "by the registry itself: there is nothing to forget",
            2,
        )
    base = address.removesuffix(path)
    accepts = INDEXES.get(upstream.kind, ("*/*",))
    done: list[str] = []
    faults: list[Fault] = []
    for spelling in spellings(path) if upstream.kind == "apt" else [path]:
        try:
            done.append(_replace(f"{base}{spelling}", accepts))
        except Fault as fault:
            faults.append(fault)
    if not done:
        raise faults[0]
    return "\n".join(done)


def spellings(path: str) -> list[str]:
    """The path, as given, and with the two characters that apt escapes and browsers do not.

    Each is a file of its own to the cache; S3 reads a plus as a space, so not all may be there.
    """
    plain = re.sub("%2b", "+", re.sub("%7e", "~", path, flags=re.IGNORECASE), flags=re.IGNORECASE)
    return list(dict.fromkeys([path, plain, plain.replace("+", "%2b").replace("~", "%7e")]))


def _replace(address: str, accepts: Iterable[str]) -> str:
    """Fetch what is at the cache's address again; says what came of it."""
    before, _ = _ask(address, "HEAD", {})
    after, size = before, 0
    for accept in accepts:
        after, size = _ask(address, "GET", {"Cache-Control": "no-cache", "Accept": accept})
    if before.get("X-Cache-Status") == "MISS":
        what = "nothing was stored; it is now"
    elif _version(before) == _version(after):
        what = "its origin has the same version; it was fetched again"
    else:
        what = "its origin has another version, which is stored now in place of the old one"
    return f"{address}: {what} ({decimal(size)})"


def place(url: str, answering: Callable[[], str]) -> tuple[Settings, str]:
    """(settings of the cache that is meant, path there); a Fault that names what it could be."""
    parts = urlsplit(url)
    if not parts.netloc:
        raise Fault(f"{url} is not an address: give the whole of it, as apt or pip names it", 2)
    rest = f"{parts.path}?{parts.query}" if parts.query else parts.path
    for env in ENVIRONMENTS:
        settings = settings_of(env)
        if service_at(settings, url) == "cache":
            return settings, rest
    settings = settings_of(answering())
    found = path_of(settings.foundation.cache, f"{parts.netloc}{rest}")
    if found is None:
        raise Fault(
            f"{url} is neither the cache's address nor below an upstream's url: see ./lab cache", 2
        )
    return settings, found


def path_of(cache: Cache, address: str) -> str | None:
    """The cache's path for a vendor's address without its scheme; the longest url that fits."""
    for alias, known in ALIASES.items():
        if address.startswith(f"{alias}/"):
            address = known + address.removeprefix(alias)
    found: dict[str, str] = {}
    for name, upstream in cache.upstreams.items():
        # Of these the whole host is mirrored.
        url = upstream.origin if upstream.kind in LINKING else upstream.url
        found[url.partition("://")[2].rstrip("/")] = f"/{name}"
        for host in upstream.files:
            plain = host.partition("://")[2]
            found.setdefault(plain, f"/{name}/~{plain.replace(':', '_')}")
    for start in sorted(found, key=len, reverse=True):
        if address.startswith(f"{start}/"):
            return found[start] + address.removeprefix(start)
    return None


def _version(headers: Mapping[str, str]) -> tuple[str | None, ...]:
    return tuple(headers.get(name) for name in ("ETag", "Last-Modified", "Content-Length"))


def _ask(url: str, method: str, headers: Mapping[str, str]) -> tuple[Mapping[str, str], int]:
    """(headers, bytes of body) of an answer; a Fault for every other one."""
    try:
        # As pip and apt ask for files: packed on the way they would be another size.
        with (
            http.client(timeout=TIMEOUT_S, headers={"Accept-Encoding": "identity"}) as client,
            client.stream(method, url, headers=headers, follow_redirects=True) as answer,
        ):
            size = sum(map(len, answer.iter_raw()))
    except httpx.HTTPError as error:
        raise Fault(
            f"{url} broke off ({http.reason(error)}): what came is stored, run it again"
        ) from None
    if answer.is_error:
        raise Fault(
            f"{url}: its origin answers {answer.status_code} {answer.reason_phrase}, and an error "
            "replaces nothing: what is stored stays (docs/cache.md says how to remove it)"
        )
    return answer.headers, size
