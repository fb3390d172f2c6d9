"""The gateway: nginx in front of every web page, with the lab's certificate."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker as docker

from layers.context import Component, LayerContext
from settings import Settings, images
from settings.containers import wanted
from settings.names import ROWS, Endpoint, endpoints
from settings.service import Listener
from settings.services.gateway import Gateway as GatewaySettings
from targets import Container, File, Health
from targets.docker import DNS
from targets.templates import render

FILES = Path(__file__).parent / "files"
FOLDER = "/etc/datalab"


class Gateway(Component):
    """nginx; it starts whether or not what it stands in front of is there yet."""

    TYPE = "datalab:services:Gateway"

    container: docker.Container

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        settings, server = context.settings, context.certificate("gateway")
        size = context.get(GatewaySettings).container
        port = context.endpoint("gateway").inner_port
        pages = f"{FOLDER}/pages"
        self.container = context.run(
            self,
            name,
            Container(
                image=context.image(GatewaySettings),
                memory_mib=size.memory_mib,
                cpus=size.cpus,
                # Not the image's own, which edits a default configuration that is not used here.
                entrypoint=["nginx", "-g", "daemon off;"],
                files={
                    "/etc/nginx/nginx.conf": File(
                        content=render(FILES / "gateway.conf.j2", configuration(settings))
                    ),
                    f"{FOLDER}/ca.crt": File(content=context.ca),
                    f"{FOLDER}/gateway.crt": File(content=server["certificate"]),
                    f"{FOLDER}/gateway.key": File(content=server["key"], mode="0400"),
                    f"{pages}/index.html": File(
                        content=render(FILES / "start.html.j2", start_page(settings))
                    ),
                    f"{pages}/unavailable.html": File(
                        content=(FILES / "unavailable.html").read_text(encoding="utf-8")
                    ),
                },
                # Its workers are the image's user's.
                capabilities=("CHOWN", "SETGID", "SETUID"),
                ports=context.ports("gateway"),
                health=Health(test=("CMD", "curl", "-fsSk", f"https://127.0.0.1:{port}/healthz")),
            ),
        )
        self.register_outputs({"id": self.container.id})


def configuration(settings: Settings) -> dict[str, Any]:
    """The values of gateway.conf.j2."""
    present, domain = endpoints(settings), settings.common.domain
    routes: Sequence[dict[str, str]] = [
        {
            "host": f"{name}.{domain}",
            "upstream": endpoint.inner_url,
            "upstream_host": endpoint.inner_host,
            "host_header": ROWS[name].listener.host_header,
        }
        for name, endpoint in present.items()
        # In `dev` people call the services' own ports, whose names alone they answer to.
        if ROWS[name].exposure == "gateway" and settings.common.target.kind == "proxmox"
    ]
    return {
        "folder": FOLDER,
        "resolver": DNS,
        "port": present["gateway"].inner_port,
        "names": [domain, f"gateway.{domain}", "localhost"],
        "routes": routes,
        "states": list(_states(settings)),
    }


def _states(settings: Settings) -> Iterator[dict[str, str]]:
    """What the start page asks the gateway to look at, and where the gateway finds it."""
    for name, endpoint in _shown(settings).items():
        listener = ROWS[name].listener
        if not listener.page:
            continue
        # A machine by its address: Docker's DNS, which nginx asks, knows containers alone.
        away = ROWS[name].exposure == "machine" and settings.common.target.kind == "proxmox"
        host = str(endpoint.address) if away else endpoint.inner_host
        known = listener.host_header != Listener.host_header
        yield {
            "name": name,
            "upstream": f"{endpoint.inner_scheme}://{host}:{endpoint.inner_port}{listener.page}",
            "upstream_host": endpoint.inner_host,
            "host_header": listener.host_header if known else endpoint.inner_netloc,
        }


def start_page(settings: Settings) -> dict[str, Any]:
    """The values of start.html.j2: all that has a label, as a link where it has pages."""
    versions = dict(_versions(settings))
    links = [
        {
            "name": name,
            "label": endpoint.label,
            "url": endpoint.url,
            "page": ROWS[name].listener.page,
            "version": versions.get(ROWS[name].service.key, ""),
            "login": ROWS[name].service.login is not None,
        }
        for name, endpoint in _shown(settings).items()
    ]
    return {"domain": settings.common.domain, "links": links}


def _shown(settings: Settings) -> dict[str, Endpoint]:
    """What is on the start page."""
    present = endpoints(settings).items()
    return {name: found for name, found in present if found.label and name != "gateway"}


def _versions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Service -> version of the vendor's image that it runs.

    Not of the lab's own images: the gateway would be replaced with each change of theirs.
    """
    known = images.catalogue().images
    for one in wanted(settings):
        if one.image in known and not one.built:
            yield one.service.key, known[one.image].tag


COMPONENT = Gateway
