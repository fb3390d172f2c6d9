"""The NodeJS web application."""

from layers.apps.application import Application
from layers.context import LayerContext
from settings.apps.web import Web as Settings
from targets import Container, Health


class Web(Application):
    """The application."""

    TYPE = "datalab:apps:Web"

    def container(self, name: str, context: LayerContext) -> Container:
        """Its image with what it is told."""
        size = context.get(Settings).container
        return Container(
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
        )


COMPONENT = Web
