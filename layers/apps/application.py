"""What the lab's own applications have in common."""

from abc import abstractmethod

import pulumi

from layers.context import Component, LayerContext
from targets import Container


class Application(Component):
    """One container of an image that the lab builds; image is what it runs."""

    image: pulumi.Output[str]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        self.image = context.build(self, name)
        context.run(self, name, self.container(name, context))
        self.register_outputs({"image": self.image})

    @abstractmethod
    def container(self, name: str, context: LayerContext) -> Container:
        """What runs, from `image`."""
