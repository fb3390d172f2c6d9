"""The NodeJS web application."""

from dataclasses import dataclass

import pulumi

from layers.engine import Engine
from places import Container, Health
from places.image import Recipe
from settings import images


def recipe() -> Recipe:
    """What the web page's image is built from."""
    return Recipe(context="apps/web", base={"NODE_IMAGE": images.image("node")})


@dataclass(frozen=True, kw_only=True)
class WebArgs:
    """registry: the project's place in GitLab's registry."""

    engine: Engine
    registry: pulumi.Input[str]


class Web(pulumi.ComponentResource):
    """The application; image is what it runs."""

    image: pulumi.Output[str]

    def __init__(self, name: str, args: WebArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:apps:Web", name, None, opts)
        self.image = args.engine.build(self, name, recipe(), args.registry)
        size = args.engine.settings.apps.web.container
        args.engine.run(
            self,
            name,
            Container(
                image=self.image,
                memory_mib=size.memory_mib,
                cpus=size.cpus,
                environment={
                    "MODEL_SERVER_URL": args.engine.endpoint("model-server").inner_url,
                    "PORT": str(args.engine.endpoint(name).inner_port),
                },
                ports=args.engine.ports(name),
                health=Health(test=("CMD", "node", "/app/health.js")),
            ),
        )
        self.register_outputs({"image": self.image})
