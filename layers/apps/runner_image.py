"""The images that CI jobs run in: `runner` for every project, `deployer` for this one's."""

from collections.abc import Sequence
from typing import ClassVar

import pulumi

from layers.context import Component, LayerContext
from settings.declarations import RECIPES
from settings.platform.runner import downloads
from targets.downloads import require_checksum


class JobImage(Component):
    """An image, and in GitLab the variable by which jobs name it."""

    TYPE = "datalab:apps:RunnerImage"
    IMAGE: ClassVar[str]  # in the declarations
    VARIABLE: ClassVar[str]

    reference: pulumi.Output[str]

    @classmethod
    def providers(cls, context: LayerContext) -> Sequence[pulumi.ProviderResource]:
        """GitLab's, where that is on."""
        return [context.gitlab] if context.has("gitlab") else []

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        # Its Dockerfile takes what it is given.
        for entry, checksum in downloads(RECIPES[self.IMAGE]()).items():
            require_checksum(entry, checksum, context.settings.common.unpinned_downloads)
        self.reference = context.build(self, self.IMAGE)
        if context.has("gitlab"):
            import pulumi_gitlab as gitlab

            gitlab.InstanceVariable(
                f"{name}-variable",
                key=self.VARIABLE,
                value=self.reference,
                raw=True,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"reference": self.reference})


class RunnerImage(JobImage):
    """What the jobs of every project run in."""

    NAME, IMAGE, VARIABLE = "runner-image", "runner", "DATALAB_RUNNER_IMAGE"


class DeployerImage(JobImage):
    """What this project's own jobs run in."""

    NAME, IMAGE, VARIABLE = "deployer-image", "deployer", "DATALAB_DEPLOYER_IMAGE"
