"""Whether what was deployed answers, asked from where its users are."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from cli.lib import http
from cli.lib.fault import Fault
from cli.lib.pulumi import Engine
from settings.declarations import LISTENERS

PATIENCE_S = 180
PAUSE_S = 3


def probe(engine: Engine, stack: str) -> int:
    """Ask every service of the stack until it answers; Fault names those that do not."""
    checks = targets(engine.outputs(stack))
    end = time.monotonic() + PATIENCE_S
    while True:
        checks = {name: check for name, check in checks.items() if not _passes(name, check)}
        if not checks:
            return 0
        if time.monotonic() > end:
            raise Fault(f"deployed, but no answer after {PATIENCE_S} s: {', '.join(checks)}")
        time.sleep(PAUSE_S)


def targets(outputs: Mapping[str, Any]) -> dict[str, Callable[[], None]]:
    """A check for each service that the outputs name; it raises OSError or httpx.HTTPError."""
    urls = {
        name: found["url"]
        for name, found in outputs.items()
        if isinstance(found, Mapping) and isinstance(found.get("url"), str)
    }
    urls |= outputs.get("urls") or {}
    found: dict[str, Callable[[], None]] = {
        name: _page(url.rstrip("/") + _proof(name)) for name, url in urls.items()
    }
    for name, address in _addresses(outputs):
        found[name] = _port(address)
    return found


def _proof(output: str) -> str:
    """The page that proves that the service of an output of this name works."""
    _, listener = LISTENERS[output.replace("_", "-")]
    return listener.page


def _addresses(outputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    database, broker = outputs.get("postgresql"), outputs.get("kafka")
    pairs = []
    if database:
        pairs.append(("postgresql", f"{database['host']}:{database['port']}"))
    if broker:
        pairs.append(("kafka", str(broker["bootstrap"])))
    return pairs


def _passes(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except (OSError, httpx.HTTPError):
        return False
    print(f"{name} answers", flush=True)
    return True


def _page(url: str) -> Callable[[], None]:
    def check() -> None:
        authority = os.environ.get("DATALAB_CA_FILE")
        with http.client(authority=authority, own=True, timeout=10) as client:
            client.get(url).raise_for_status()

    return check


def _port(address: str) -> Callable[[], None]:
    host, _, port = address.rpartition(":")

    def check() -> None:
        socket.create_connection((host, int(port)), timeout=10).close()

    return check
