"""The NodeJS web application."""

import pulumi

from layers.context import Component, LayerContext
from settings.apps.web import Web as Settings
from targets import Container, Health


class Web(Component):
    """The application; image is what it runs."""

    TYPE = "datalab:apps:Web"

    image: pulumi.Output[str]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        self.image = context.build(self, name)
        size = context.get(Settings).container
        context.run(
            self,
            name,
            Container(
                image=self.image,
                memory_mib=size.memory_mib,
                cpus=size.cpus,
                environment={
                    "MODEL_SERVER_URL": context.endpoint("model-server").inner_url,
                    "PORT": str(context.endpoint(name).inner_port),
                },
                capabilities=(),
                read_only=True,
                ports=context.ports(name),
                health=Health(test=("CMD", "node", "/app/health.js")),
            ),
        )
        self.register_outputs({"image": self.image})


COMPONENT = Web
