"""Portainer, a web interface for the Docker host."""

import pulumi

from layers.context import Component, LayerContext
from settings.docker_engine import SOCKET, mounted_socket
from settings.services.portainer import Portainer as Settings
from targets import Container, File, Health

KEYS = "/run/secrets/"


class Portainer(Component):
    """Portainer with its administrator and the Docker host already known to it."""

    TYPE = "datalab:services:Portainer"

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        size = context.get(Settings).container
        container = context.run(
            self,
            name,
            Container(
                image=context.image(Settings),
                memory_mib=size.memory_mib,
                cpus=size.cpus,
                command=_command(context),
                files=_files(context),
                # A first start may be killed: each missing piece is made by the next one, the
                # administrator too (api/cmd/portainer/main.go, api/datastore/init.go). Only between
                # its settings and its version, a moment, is a new database taken for one of 1.24
                # (api/datastore/migrate_legacyversion.go).
                volumes={"portainer-data": "/data"},
                host_paths={mounted_socket(): SOCKET} if context.local else {},
                ports=context.ports("portainer"),
                # Over plain HTTP, which listens inside the container only.
                health=Health(
                    test=("CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:9000/api/system/status")
                ),
            ),
        )
        self.register_outputs({"id": container.id})


def _command(context: LayerContext) -> list[pulumi.Input[str]]:
    flags: list[pulumi.Input[str]] = [
        "--bind=127.0.0.1:9000",
        "--bind-https=:9443",
        f"--sslcert={KEYS}portainer.crt",
        f"--sslkey={KEYS}portainer.key",
        # Without an administrator it locks itself five minutes after its first start.
        f"--admin-password-file={KEYS}portainer-admin",
        "--log-mode=NOCOLOR",
    ]
    if context.local:
        return [*flags, f"--host=unix://{SOCKET}"]
    host = context.endpoint("docker")
    return [
        *flags,
        f"--host=tcp://{host.inner_netloc}",
        "--tlsverify",
        f"--tlscacert={KEYS}docker-ca.crt",
        f"--tlscert={KEYS}docker-client.crt",
        f"--tlskey={KEYS}docker-client.key",
    ]


def _files(context: LayerContext) -> dict[str, File]:
    server = context.certificate("portainer")
    files = {
        f"{KEYS}portainer.crt": File(content=server["certificate"]),
        f"{KEYS}portainer.key": File(content=server["key"], mode="0400"),
        f"{KEYS}portainer-admin": File(content=context.secret("portainer-admin"), mode="0400"),
    }
    if not context.local:
        client = context.certificate("docker-client")
        files |= {
            f"{KEYS}docker-ca.crt": File(content=context.ca),
            f"{KEYS}docker-client.crt": File(content=client["certificate"]),
            f"{KEYS}docker-client.key": File(content=client["key"], mode="0400"),
        }
    return files


COMPONENT = Portainer
