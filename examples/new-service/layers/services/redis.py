"""Redis, a store in memory for applications."""

import pulumi
from settings.services.redis import Redis as Settings

from layers.context import Component, LayerContext
from targets import Container, File, Health

OWNER = 999  # the user redis of the image
FILE = "/run/secrets/redis"
# Of the container's memory, what data may take: fork for a snapshot needs the rest.
SHARE = 0.6


class Redis(Component):
    """The server, with a password."""

    TYPE = "datalab:services:Redis"

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        size, password = context.get(Settings).container, context.secret("redis")
        configuration = pulumi.Output.concat(
            f"maxmemory {int(size.memory_mib * SHARE)}mb\nrequirepass ", password, "\n"
        )
        container = context.run(
            self,
            name,
            Container(
                image=context.image(Settings),
                memory_mib=size.memory_mib,
                cpus=size.cpus,
                command=["redis-server", "/etc/redis.conf"],
                files={
                    "/etc/redis.conf": File(content=configuration, mode="0400", owner=OWNER),
                    FILE: File(content=password, mode="0400", owner=OWNER),
                },
                volumes={"redis-data": "/data"},
                ports=context.ports(name),
                health=Health(
                    test=(
                        "CMD-SHELL",
                        f'REDISCLI_AUTH="$(cat {FILE})" redis-cli ping | grep -q PONG',
                    )
                ),
            ),
        )
        self.register_outputs({"id": container.id})


COMPONENT = Redis
