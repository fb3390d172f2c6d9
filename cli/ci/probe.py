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
from settings.declarations import SERVICES
from settings.service import Listener

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
    found: dict[str, Callable[[], None]] = {}
    urls = {name: {"url": url} for name, url in (outputs.get("urls") or {}).items()}
    for name, value in {**outputs, **urls}.items():
        listener = _listener(name)
        address = _address(value) if isinstance(value, Mapping) else ""
        # Where the job is, what is for containers cannot be reached.
        if listener is None or listener.exposure == "internal" or not address:
            continue
        if listener.page and address.startswith("http"):
            found[name] = _page(address.rstrip("/") + listener.page)
        else:
            found[name] = _port(address.rpartition("//")[2])
    return found


def _listener(output: str) -> Listener | None:
    """What the service of an output of this name answers by."""
    for service in SERVICES:
        if output in {service.section, service.name} and service.listeners:
            return service.listeners[0]
    return None


def _address(output: Mapping[str, Any]) -> str:
    """Where the service of this output answers, in any of the forms that layers export."""
    if {"host", "port"} <= set(output):
        return f"{output['host']}:{output['port']}"
    return str(output.get("url") or output.get("bootstrap") or "")


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
