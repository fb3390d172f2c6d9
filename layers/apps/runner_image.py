"""The image that CI jobs run in: Ubuntu with a few tools and the provision command."""

from dataclasses import dataclass

import pulumi

from layers.engine import Engine
from places.image import Recipe
from settings import images

RECIPE = Recipe(
    context="provision",
    dockerfile="images/runner/Dockerfile",
    base={"UBUNTU_IMAGE": images.image("ubuntu")},
)


@dataclass(frozen=True, kw_only=True)
class RunnerImageArgs:
    """registry: the project's place in GitLab's registry."""

    engine: Engine
    registry: pulumi.Input[str]


class RunnerImage(pulumi.ComponentResource):
    """The image, and in GitLab the variable by which the jobs of every project name it."""

    reference: pulumi.Output[str]

    def __init__(
        self, name: str, args: RunnerImageArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:apps:RunnerImage", name, None, opts)
        self.reference = args.engine.build(self, "runner", RECIPE, args.registry)
        if args.engine.settings.platform.gitlab.enabled:
            import pulumi_gitlab as gitlab

            gitlab.InstanceVariable(
                f"{name}-variable",
                key="DATALAB_RUNNER_IMAGE",
                value=self.reference,
                raw=True,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"reference": self.reference})
