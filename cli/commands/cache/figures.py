"""`./lab cache`: what the package cache does, and how a laptop uses it."""

import argparse
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httpx
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from cli.commands.cache.forget import forget
from cli.lib import http
from cli.lib.backend import settings_of
from cli.lib.fault import Fault, say
from cli.lib.terminal import print_json
from settings import ENVIRONMENTS, Settings
from settings.mirrors import environment, urls
from settings.names import endpoints

TIMEOUT_S = 10
# The end of the logs that is counted, as by the page of the cache itself.
TAIL = 8 * 1024 * 1024
FROM_CACHE = ("HIT", "STALE", "UPDATING", "REVALIDATED")
TOP = 15


@dataclass
class Count:
    """What was asked of one upstream; sizes in bytes, None where they are not known."""

    requests: int = 0
    hits: int = 0
    errors: int = 0
    sent: int = 0
    fetched: int | None = 0
    stored: int | None = 0

    @property
    def saved(self) -> int | None:
        """What clients got without that it was fetched."""
        return None if self.fetched is None else max(0, self.sent - self.fetched)


@dataclass
class Figures:
    """The cache's figures since the first line that both logs have."""

    since: str = ""
    upstreams: dict[str, Count] = field(default_factory=dict)
    files: dict[tuple[str, str], Count] = field(default_factory=dict)  # (upstream, file)
    free: int | None = None  # bytes of its disk


def cache(values: argparse.Namespace) -> int:
    """`./lab cache [ENV]` shows figures, `env [ENV]` a laptop's settings; `forget URL`."""
    if values.what == "forget":
        if not values.of:
            raise Fault("forget what? ./lab cache forget URL, as apt or pip names it", 2)
        print(forget(values.of, answering))
        return 0
    if values.of not in {None, *ENVIRONMENTS}:
        raise Fault(f"{values.of} is not an environment: {' or '.join(ENVIRONMENTS)}", 2)
    if values.what == "env":
        env = values.of or answering()
        print(client_settings(settings_of(env)), end="")
        return 0
    if values.of:
        raise Fault(f"./lab cache takes one environment: ./lab cache {values.of}", 2)
    env = values.what or answering()
    settings = settings_of(env)
    figures = read(settings)
    if values.json:
        print_json(as_json(figures))
    else:
        show(env, settings, figures, Console())
    return 0


def answering() -> str:
    """The environment whose cache answers; a Fault that names both addresses if none does."""
    tried = {}
    for env in ENVIRONMENTS:
        base = endpoints(settings_of(env))["cache"].url
        try:
            _get(f"{base}/healthz")
        except Fault:
            tried[env] = base
        else:
            return env
    where = ", ".join(f"{env}'s at {base}" for env, base in tried.items())
    raise Fault(f"no package cache answers: {where}; name the environment: ./lab cache lab")


def _get(url: str, **headers: str) -> bytes | None:
    """The body of `url`, None for 404; a Fault that says what to do for everything else."""
    try:
        with http.client(timeout=TIMEOUT_S, follow_redirects=True) as client:
            answer = client.get(url, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Fault(
            f"{url} does not answer ({http.reason(error)}): is it up (./lab up ENV foundation), "
            "and does this machine know its name (./lab hosts ENV)?"
        ) from None
    if answer.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
        return None
    if answer.is_error:
        raise Fault(f"{url} answers {answer.status_code} {answer.reason_phrase}")
    return answer.content


def read(settings: Settings) -> Figures:
    """The figures of the running cache of `settings`; Fault where it does not answer."""
    base = endpoints(settings)["cache"].url
    usage = json.loads(_get(f"{base}/-/logs/usage.json") or b"{}")
    return count(settings, _log(base, "requests"), _log(base, "fetch"), usage)


def _log(base: str, name: str) -> list[dict[str, Any]]:
    text = _get(f"{base}/-/logs/{name}.json", Range=f"bytes=-{TAIL}") or b""
    lines = text.splitlines()[1 if len(text) == TAIL else 0 :]
    return [json.loads(line) for line in lines]


def count(
    settings: Settings,
    access: list[dict[str, Any]],
    fetched: list[dict[str, Any]],
    usage: dict[str, Any],
) -> Figures:
    """Figures of the lines of both logs and of usage.json (files/cache/tidy.sh.j2)."""
    upstreams = settings.foundation.cache.upstreams
    registries = {up.registry: name for name, up in upstreams.items() if up.registry}
    found = Figures(free=usage.get("disk", {}).get("free"))
    found.since = max((rows[0]["time"] for rows in (access, fetched) if rows), default="")
    for name, upstream in upstreams.items():
        # A registry stores for itself, and nginx does not see what it fetches.
        bytes_ = usage.get("packages", {}).get(name, {}).get("bytes", 0)
        known = upstream.kind != "oci"
        found.upstreams[name] = Count(
            fetched=0 if known else None, stored=bytes_ if known else None
        )

    def of(row: dict[str, Any]) -> tuple[str, Count | None]:
        parts = row["uri"].split("/")
        name = registries.get(parts[2]) if parts[1] == "v2" and len(parts) > 3 else parts[1]
        return name or "", found.upstreams.get(name or "")

    for row in access:
        name, entry = of(row)
        if entry is None or row["time"] < found.since:
            continue
        file = unquote(row["uri"].partition("?")[0].rpartition("/")[2])
        top = found.files.setdefault((name, file), Count()) if file else Count()
        for counted in (entry, top):
            counted.requests += 1
            counted.sent += row["bytes"]
            counted.hits += row["cache"] in FROM_CACHE
            counted.errors += row["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR
    for row in fetched:
        entry = of(row)[1]
        if entry is not None and entry.fetched is not None and row["time"] >= found.since:
            entry.fetched += row["bytes"]
    return found


def _top(figures: Figures) -> Iterable[tuple[tuple[str, str], Count]]:
    wanted = sorted(figures.files.items(), key=lambda item: (-item[1].requests, -item[1].sent))
    return wanted[:TOP]


def as_json(figures: Figures) -> dict[str, Any]:
    """The same for programs."""
    return {
        "since": figures.since,
        "free": figures.free,
        "upstreams": {
            name: {**vars(entry), "saved": entry.saved} for name, entry in figures.upstreams.items()
        },
        "top": [
            {"upstream": name, "file": file, "requests": entry.requests, "sent": entry.sent}
            for (name, file), entry in _top(figures)
        ],
    }


def _size(number: int | None) -> str:
    return "-" if number is None else decimal(number)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def show(env: str, settings: Settings, figures: Figures, console: Console) -> None:
    """The figures as tables."""
    table = Table(title=f"Package cache of {env}, {endpoints(settings)['cache'].url}")
    table.add_column("upstream", no_wrap=True)
    table.add_column("kind")
    for title in ("requests", "hits", "sent", "fetched", "saved", "stored", "errors"):
        table.add_column(title, justify="right")
    for name, entry in figures.upstreams.items():
        table.add_row(
            name,
            settings.foundation.cache.upstreams[name].kind,
            str(entry.requests),
            _share(entry.hits, entry.requests),
            *map(_size, (entry.sent, entry.fetched, entry.saved, entry.stored)),
            str(entry.errors),
        )
    console.print(table)
    entries = figures.upstreams.values()
    requests = sum(entry.requests for entry in entries)
    parts = [
        f"{requests} requests",
        f"{_share(sum(entry.hits for entry in entries), requests)} from the cache",
        f"{_size(sum(entry.saved or 0 for entry in entries))} not fetched again",
        f"{_size(figures.free)} of its disk free",
    ]
    since = figures.since[:16].replace("T", " ") or "its start"
    console.print(f"Since {since}: {', '.join(parts)}.")
    if figures.files:
        top = Table(title="Most wanted files")
        for title in ("file", "upstream"):
            top.add_column(title, overflow="fold")
        for title in ("requests", "sent"):
            top.add_column(title, justify="right")
        for (name, file), entry in _top(figures):
            top.add_row(file, name, str(entry.requests), _size(entry.sent))
        console.print(top)


def client_settings(settings: Settings) -> str:
    """Shell text that makes a laptop use the cache; other tools' settings as comments."""
    base = endpoints(settings)["cache"].url
    upstreams = settings.foundation.cache
    found = urls(upstreams, base)
    lines = [
        f"export {name}={shlex.quote(value)}"
        for name, value in environment(upstreams, base).items()
    ]
    for kind, place in (
        ("apt", "apt, URIs: in /etc/apt/sources.list.d/*.sources"),
        ("apk", "apk, in /etc/apk/repositories"),
        ("files", "files"),
    ):
        for name, url in found.get(kind, {}).items():
            lines.append(f"# {place}: {url} for {upstreams.upstreams[name].url}")
    for name, prefix in found.get("oci", {}).items():
        registry = upstreams.upstreams[name].registry
        lines.append(f"# images: {prefix}/... for {registry}/...")
        if registry == "docker.io":
            mirror = json.dumps({"registry-mirrors": [base]})
            lines.append(f"# docker, /etc/docker/daemon.json: {mirror}")
    if not lines:
        say("this cache has no upstreams; see foundation.cache")
    return "".join(f"{line}\n" for line in lines)
