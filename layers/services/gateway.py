"""The gateway: nginx in front of every web page, with the lab's certificate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker as docker

from layers.context import Component, LayerContext
from settings import Settings
from settings.names import ROWS, endpoints
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
    }


def start_page(settings: Settings) -> dict[str, Any]:
    """The values of start.html.j2: all that has a label, as a link where it has pages."""
    links = [
        {
            "label": endpoint.label,
            "url": endpoint.url,
            "page": ROWS[name].listener.page,
        }
        for name, endpoint in endpoints(settings).items()
        if endpoint.label and name != "gateway"
    ]
    return {"domain": settings.common.domain, "links": links}


COMPONENT = Gateway
