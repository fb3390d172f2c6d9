"""Looks, before Pulumi starts, whether it can have what it needs: engine, node and plugins.

Each provider would try for itself, again and again, and say so in 25 lines.
"""

import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cli.lib.backend import NO_DOWNLOADS
from cli.lib.fault import Fault
from cli.lib.pulumi import Engine
from settings import Settings, docker_engine
from toolchain import install, pulumi_cli

ANSWER_S = 5.0
PLUGINS_FROM = "get.pulumi.com"
ON_THE_NODE = {"foundation", "platform"}  # layers whose providers call the Proxmox node


def require(engine: Engine, settings: Settings, layers: Sequence[str]) -> None:
    """Fault with one line for each that `layers` need and cannot have."""
    lines = [*place(settings, layers), *plugins(engine)]
    if lines:
        raise Fault("\n     ".join(lines))


def place(settings: Settings, layers: Sequence[str]) -> Iterator[str]:
    """The Docker engine of `dev`, the Proxmox node of `lab`."""
    node = settings.common.target
    if node.kind == "proxmox":
        if not ON_THE_NODE & set(layers):
            return
        url = urlsplit(str(node.endpoint))
        if reason := unreachable(url.hostname or "", url.port or 443):
            yield f"the Proxmox node {node.endpoint} does not answer ({reason}): is it on?"
        return
    named = docker_engine.named()
    if named.refusal:
        yield named.refusal
        return
    if named.socket:
        reason = no_socket(named.socket)
    else:
        url = urlsplit(named.host)
        reason = unreachable(url.hostname or "", url.port or 2375)
    if reason:
        yield (
            f"the Docker engine at {named.host} ({named.source}) does not answer ({reason}): "
            "start it (systemctl start docker), or ./lab doctor dev"
        )


def plugins(engine: Engine) -> Iterator[str]:
    """Providers' plugins that are neither here nor to be had."""
    if engine.variables.get(NO_DOWNLOADS):
        return  # they come another way
    missing = missing_plugins(engine.variables)
    if missing and (reason := unreachable(PLUGINS_FROM, 443)):
        yield (
            f"provider plugins are missing ({', '.join(missing)}) and {PLUGINS_FROM} cannot be "
            f"reached ({reason}): connect this machine once, or ./lab rehearse, which needs none"
        )


def missing_plugins(variables: Mapping[str, str]) -> list[str]:
    """Names of the official plugins that this checkout needs and the machine lacks."""
    home = Path(variables.get("PULUMI_HOME") or pulumi_cli.pulumi_home()) / "plugins"
    path = variables.get("PATH")
    found = []
    for file in sorted(install.VENV.glob("lib/*/site-packages/*/pulumi-plugin.json")):
        plugin = json.loads(file.read_text(encoding="utf-8"))
        name, version = plugin["name"], str(plugin["version"]).removeprefix("v")
        there = (home / f"resource-{name}-v{version}").is_dir()
        there = there or shutil.which(f"pulumi-resource-{name}", path=path) is not None
        if plugin.get("resource") and not there:
            found.append(name)
    return found


def unreachable(host: str, port: int, answer_s: float = ANSWER_S) -> str:
    """Why a TCP port does not answer; empty where it does, or where a proxy is asked instead."""
    if host == PLUGINS_FROM and (os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")):
        return ""
    try:
        socket.create_connection((host, port), timeout=answer_s).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def no_socket(path: str) -> str:
    """Why a Unix socket does not answer; empty where it does."""
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(ANSWER_S)
        try:
            end.connect(path)
        except OSError as error:
            return error.strerror or str(error)
    return ""
