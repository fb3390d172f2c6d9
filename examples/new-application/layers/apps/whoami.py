"""A page that shows the request that it got."""

import pulumi
from settings.apps.whoami import Whoami as Settings

from layers.context import Component, LayerContext
from targets import Container, File, Health

KEYS = "/run/secrets/whoami"


class Whoami(Component):
    """The page, with a certificate of its own."""

    TYPE = "datalab:apps:Whoami"

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        size, server = context.get(Settings).container, context.certificate(name)
        port = str(context.endpoint(name).inner_port)
        container = context.run(
            self,
            name,
            Container(
                image=context.image(Settings),
                memory_mib=size.memory_mib,
                cpus=size.cpus,
                command=["--port", port, "--cert", f"{KEYS}.crt", "--key", f"{KEYS}.key"],
                files={
                    f"{KEYS}.crt": File(content=server["certificate"]),
                    f"{KEYS}.key": File(content=server["key"], mode="0400"),
                },
                ports=context.ports(name),
                health=Health(
                    test=(
                        "CMD",
                        "wget",
                        "-q",
                        "--no-check-certificate",
                        "-O",
                        "/dev/null",
                        f"https://127.0.0.1:{port}/health",
                    )
                ),
            ),
        )
        self.register_outputs({"id": container.id})


COMPONENT = Whoami
