"""Which Docker engine `dev` is on: one answer for the provider, for commands, for socket mounts."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SOCKET = "/var/run/docker.sock"
DEFAULT = f"unix://{SOCKET}"


@dataclass(frozen=True, kw_only=True)
class Named:
    """An engine, and what names it; certificates is the folder of a client's, if any."""

    host: str
    source: str
    certificates: Path | None = None

    @property
    def socket(self) -> str | None:
        """The path of its socket, where it has one."""
        return self.host.removeprefix("unix://") if self.host.startswith("unix://") else None

    @property
    def variables(self) -> dict[str, str]:
        """What makes Docker's tools and provider use it; nothing where they would anyway.

        The provider knows no contexts.
        """
        if not self.source.startswith("the context"):
            return {}
        certificates = self.certificates
        tls = {"DOCKER_CERT_PATH": str(certificates), "DOCKER_TLS_VERIFY": "1"}
        return {"DOCKER_HOST": self.host, **(tls if certificates else {})}

    @property
    def refusal(self) -> str | None:
        """Why `dev` cannot be on it; its ports would be on another machine's loopback."""
        where = urlsplit(self.host)
        if where.scheme == "unix":
            return None
        try:
            near = where.hostname == "localhost" or ip_address(where.hostname or "").is_loopback
        except ValueError:
            near = False
        if where.scheme == "tcp" and near:
            return None
        return (
            f"{self.source} names the Docker engine {self.host}, and dev is on an engine of this "
            "machine: a unix:// socket, or tcp:// on localhost. Unset it, or docker context use "
            "default; for another machine there is the environment lab"
        )


def named(env: Mapping[str, str] = os.environ) -> Named:
    """The engine: DOCKER_HOST, else DOCKER_CONTEXT, else the current context, as docker chooses."""
    if host := env.get("DOCKER_HOST"):
        given = env.get("DOCKER_CERT_PATH") if env.get("DOCKER_TLS_VERIFY") else None
        return Named(host=host, source="DOCKER_HOST", certificates=Path(given) if given else None)
    home = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME") or Path.home(), ".docker"))
    context = env.get("DOCKER_CONTEXT") or _json(home / "config.json").get("currentContext")
    if not context or context == "default":
        return Named(host=DEFAULT, source="the default socket")
    # As docker's own store does (docker/cli, cli/context/store/metadatastore.go).
    key = hashlib.sha256(str(context).encode()).hexdigest()
    meta = _json(home / "contexts" / "meta" / key / "meta.json")
    host = str((meta.get("Endpoints") or {}).get("docker", {}).get("Host") or DEFAULT)
    folder = home / "contexts" / "tls" / key / "docker"
    return Named(
        host=host,
        source=f"the context {context}",
        certificates=folder if folder.is_dir() else None,
    )


def mounted_socket(env: Mapping[str, str] = os.environ, system: str = sys.platform) -> str:
    """The path, as the engine sees it, of its socket for containers that talk to it.

    An engine in a VM (Docker Desktop, Colima) has it at the usual place inside of that VM; a
    rootless one, on Linux itself, at the place that names it.
    """
    path = named(env).socket
    if path is None or system != "linux" or "/.docker/desktop/" in path or "/.colima/" in path:
        return SOCKET
    return path


def _json(file: Path) -> dict[str, Any]:
    """A file's content; nothing where it is missing or no JSON."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
