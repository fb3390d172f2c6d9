"""Portainer, a web interface for the Docker host."""

from dataclasses import dataclass

import pulumi

from layers.engine import Engine
from places import Container, File, Health
from settings import images
from settings.docker_engine import SOCKET, mounted_socket

KEYS = "/run/secrets/"


@dataclass(frozen=True, kw_only=True)
class PortainerArgs:
    """The administrator's password and the server's certificate and key (PEM).

    ca and client, a certificate and key, are for the Docker host; without them it is the socket.
    """

    engine: Engine
    password: pulumi.Input[str]
    server: pulumi.Output[dict[str, str]]
    ca: pulumi.Input[str]
    client: pulumi.Output[dict[str, str]] | None


class Portainer(pulumi.ComponentResource):
    """Portainer with its administrator and the Docker host already known to it."""

    def __init__(self, name: str, args: PortainerArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:services:Portainer", name, None, opts)
        size = args.engine.settings.services.portainer.container
        container = args.engine.run(
            self,
            name,
            Container(
                image=images.image("portainer"),
                memory_mib=size.memory_mib,
                cpus=size.cpus,
                command=_command(args),
                files=_files(args),
                # A first start may be killed: each missing piece is made by the next one, the
                # administrator too (api/cmd/portainer/main.go, api/datastore/init.go). Only between
                # its settings and its version, a moment, is a new database taken for one of 1.24
                # (api/datastore/migrate_legacyversion.go).
                volumes={"portainer-data": "/data"},
                host_paths={} if args.client else {mounted_socket(): SOCKET},
                ports=args.engine.ports("portainer"),
                # Over plain HTTP, which listens inside the container only.
                health=Health(
                    test=("CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:9000/api/system/status")
                ),
            ),
        )
        self.register_outputs({"id": container.id})


def _command(args: PortainerArgs) -> list[pulumi.Input[str]]:
    flags: list[pulumi.Input[str]] = [
        "--bind=127.0.0.1:9000",
        "--bind-https=:9443",
        f"--sslcert={KEYS}portainer.crt",
        f"--sslkey={KEYS}portainer.key",
        # Without an administrator it locks itself five minutes after its first start.
        f"--admin-password-file={KEYS}portainer-admin",
        "--log-mode=NOCOLOR",
    ]
    if args.client is None:
        return [*flags, f"--host=unix://{SOCKET}"]
    host = args.engine.endpoint("docker")
    return [
        *flags,
        f"--host=tcp://{host.inner_host}:{host.inner_port}",
        "--tlsverify",
        f"--tlscacert={KEYS}docker-ca.crt",
        f"--tlscert={KEYS}docker-client.crt",
        f"--tlskey={KEYS}docker-client.key",
    ]


def _files(args: PortainerArgs) -> dict[str, File]:
    files = {
        f"{KEYS}portainer.crt": File(content=args.server["certificate"]),
        f"{KEYS}portainer.key": File(content=args.server["key"], mode="0400"),
        f"{KEYS}portainer-admin": File(content=args.password, mode="0400"),
    }
    if args.client:
        files |= {
            f"{KEYS}docker-ca.crt": File(content=args.ca),
            f"{KEYS}docker-client.crt": File(content=args.client["certificate"]),
            f"{KEYS}docker-client.key": File(content=args.client["key"], mode="0400"),
        }
    return files
