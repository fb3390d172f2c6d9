"""Every file of the package cache, from its settings: one template for both targets."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from settings.foundation.cache import LINKING, Cache, Upstream

FILES = Path(__file__).parent / "files" / "cache"
# Found by measurement (docs/cache.md): the largest size with which the second client of a miss
# gets its first byte within a second, at an origin of 8 MiB/s.
SLICE_KIB = 3072
DAY_S = 86_400
# A log of 100 MiB has some 400,000 requests; it and its predecessor are kept.
LOG_MIB = 100
PAGES = ("index.html", "status.css", "status.js")
EVERYBODY, OWN = IPv4Network("0.0.0.0/0"), IPv4Network("127.0.0.1/32")
# nginx's words for answers that are the origin's or the way's fault and pass.
OUTAGES = "http_429 http_500 http_502 http_503 http_504"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the cache runs.

    fetch_port is a free port of loopback; registries maps the names of oci upstreams to the URLs
    of their pull-through registries.
    """

    resolvers: tuple[str, ...]
    port: int
    registries: Mapping[str, str] = field(default_factory=dict)
    listen: str = "0.0.0.0"  # noqa: S104 - clients are other machines; settings say which ones
    fetch_port: int = 8481
    user: str = "www-data"
    log_level: str = "warn"
    ca_file: str = "/etc/ssl/certs/ca-certificates.crt"
    config_dir: str = "/etc/nginx"
    www_dir: str = "/etc/nginx/www"
    temp_dir: str = "/var/lib/nginx"
    pid_file: str = "/run/nginx.pid"
    log_dir: str = "/var/log/datalab-cache"
    cache_dir: str = "/var/cache/datalab"


def render(cache: Cache, site: Site) -> dict[str, str]:
    """Path -> text of everything that the cache reads."""
    environment = _environment()
    upstreams = [_upstream(name, upstream) for name, upstream in sorted(cache.upstreams.items())]
    values = {
        "cache": cache,
        "identity": identity(cache),
        # nginx warns of a network that is there twice, as a default and its own address are.
        "networks": [n for n in dict.fromkeys(cache.clients) if n not in {EVERYBODY, OWN}],
        "everybody": EVERYBODY,
        "outages": OUTAGES,
        "site": site,
        "logins": any(upstream.user for upstream in cache.upstreams.values()),
        "log_mib": LOG_MIB,
        "slice_kib": SLICE_KIB,
        "upstreams": upstreams,
    }
    shown = [{key: up[key] for key in ("name", "kind", "registry", "url")} for up in upstreams]
    return {
        f"{site.config_dir}/nginx.conf": environment.get_template("nginx.conf.j2").render(values),
        f"{site.config_dir}/tidy.sh": environment.get_template("tidy.sh.j2").render(values),
        f"{site.www_dir}/upstreams.json": json.dumps(shown, indent=1) + "\n",
        **{f"{site.www_dir}/{page}": (FILES / page).read_text(encoding="utf-8") for page in PAGES},
    }


def logins(cache: Cache, passwords: Mapping[str, str]) -> str:
    """The text of logins.conf, which nginx.conf includes where an upstream has a user.

    It is a file of its own, as secrets are in it. A registry's login is its own business.
    """
    words = {
        name: base64.b64encode(f"{cache.upstreams[name].user}:{password}".encode()).decode()
        for name, password in sorted(passwords.items())
        if cache.upstreams[name].kind != "oci"
    }
    return _environment().get_template("logins.conf.j2").render(logins=words)


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FILES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - nginx's language; settings admit only safe characters
    )


def identity(cache: Cache) -> str:
    """What this cache calls itself to others.

    Two caches with the same settings have the same upstreams: neither is behind the other without
    being behind itself.
    """
    digest = hashlib.sha256(cache.model_dump_json().encode()).hexdigest()
    return f"datalab-cache-{digest[:12]}"


def _upstream(name: str, upstream: Upstream) -> dict[str, Any]:
    """What the template needs to know of one upstream."""
    index = str(upstream.ttl_s or "@1")
    origins = upstream.addresses
    return {
        "name": name,
        "kind": upstream.kind,
        "registry": upstream.registry,
        "url": upstream.url,
        "origin": upstream.origin,
        "base": "" if upstream.kind in LINKING else upstream.path,
        "files": [
            {
                "url": url,
                "host": url.partition("://")[2].replace(":", "_"),
                "index": origins.index(url) + 1,
            }
            for url in upstream.files
        ],
        "origins": origins,
        "index_expires": index,
        # What kind `files` has may change under its name, so its first slice is asked about.
        "first_expires": index if upstream.kind == "files" else upstream.artifact_days * DAY_S,
    }
