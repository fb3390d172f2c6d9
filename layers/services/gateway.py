"""The gateway: nginx in front of every web page, with the lab's certificate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker as docker

from layers.engine import Engine
from places import Container, File, Health
from places.templates import render
from settings import Settings, images
from settings.names import ROWS, endpoints

FILES = Path(__file__).parent / "files"
FOLDER = "/etc/datalab"
DOCKER_DNS = "127.0.0.11"


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """The lab CA's certificate, and the gateway's own with its key (PEM)."""

    engine: Engine
    ca: pulumi.Input[str]
    server: pulumi.Output[dict[str, str]]


class Gateway(pulumi.ComponentResource):
    """nginx; it starts whether or not what it stands in front of is there yet."""

    container: docker.Container

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:services:Gateway", name, None, opts)
        settings = args.engine.settings
        size = settings.services.gateway.container
        port = args.engine.endpoint("gateway").inner_port
        pages = f"{FOLDER}/pages"
        self.container = args.engine.run(
            self,
            name,
            Container(
                image=images.image("nginx"),
                memory_mib=size.memory_mib,
                cpus=size.cpus,
                # Not the image's own, which edits a default configuration that is not used here.
                entrypoint=["nginx", "-g", "daemon off;"],
                files={
                    "/etc/nginx/nginx.conf": File(
                        content=render(FILES / "gateway.conf.j2", configuration(settings))
                    ),
                    f"{FOLDER}/ca.crt": File(content=args.ca),
                    f"{FOLDER}/gateway.crt": File(content=args.server["certificate"]),
                    f"{FOLDER}/gateway.key": File(content=args.server["key"], mode="0400"),
                    f"{pages}/index.html": File(
                        content=render(FILES / "start.html.j2", start_page(settings))
                    ),
                    f"{pages}/unavailable.html": File(
                        content=(FILES / "unavailable.html").read_text(encoding="utf-8")
                    ),
                },
                ports=args.engine.ports("gateway"),
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
            # Ollama answers no other name than its own.
            "host_header": "localhost:11434" if name == "ollama" else "$http_host",
        }
        for name, endpoint in present.items()
        # In `dev` people call the services' own ports, whose names alone they answer to.
        if ROWS[name].exposure == "gateway" and settings.common.target.kind == "proxmox"
    ]
    return {
        "folder": FOLDER,
        "resolver": DOCKER_DNS,
        "port": present["gateway"].inner_port,
        "names": [domain, f"gateway.{domain}", "localhost"],
        "routes": routes,
    }


def start_page(settings: Settings) -> dict[str, Any]:
    """The values of start.html.j2: a link for everything that people call by a name."""
    links = [
        {"label": endpoint.label, "url": endpoint.url}
        for name, endpoint in endpoints(settings).items()
        if endpoint.label and name != "gateway"
    ]
    return {"domain": settings.common.domain, "links": links}
