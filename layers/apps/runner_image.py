"""The images that CI jobs run in: `runner` for every project, `deployer` for this one's."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from layers.engine import Engine
from places.image import Recipe
from settings import images, pins

CHECKSUM, PLUGINS = "PULUMI_SHA256", "PULUMI_PLUGINS"  # build arguments of the deployer


def runner() -> Recipe:
    """What the image of every project's jobs is built from."""
    return Recipe(
        context="provision",
        dockerfile="images/runner/Dockerfile",
        base={"UBUNTU_IMAGE": images.image("ubuntu")},
    )


def downloads(recipe: Recipe) -> Mapping[str, str]:
    """Entry -> SHA-256 of what the recipe's Dockerfile downloads; empty where it is not known."""
    found = {}
    if CHECKSUM in recipe.base:
        found["downloads.pulumi"] = recipe.base[CHECKSUM]
    for plugin in recipe.base.get(PLUGINS, "").split():
        name, _, _, checksum = plugin.split("@")
        found[f"plugins.{name}"] = checksum
    return found


def plugins() -> str:
    """NAME@VERSION@URL@SHA256 of every provider's plugin, by blanks; the sum may be empty."""
    sums = images.sums()
    return " ".join(
        f"{plugin.name}@{plugin.version}@{plugin.url}@{sums.get(plugin.url, '')}"
        for plugin in pins.providers()
    )


def deployer() -> Recipe:
    """What the image of this project's own jobs is built from."""
    pulumi_ = images.download("pulumi")
    return Recipe(
        context=".",
        parts=("provision", "requirements.txt"),
        dockerfile="images/deployer/Dockerfile",
        base={
            "UBUNTU_IMAGE": images.image("ubuntu"),
            "PULUMI_URL": pulumi_.url,
            CHECKSUM: pulumi_.sha256,
            PLUGINS: plugins(),
        },
    )


@dataclass(frozen=True, kw_only=True)
class RunnerImageArgs:
    """registry: the project's place in GitLab's registry; variable: where jobs find the image."""

    engine: Engine
    registry: pulumi.Input[str]
    image: str = "runner"
    recipe: Recipe = field(default_factory=runner)
    variable: str = "DATALAB_RUNNER_IMAGE"


class RunnerImage(pulumi.ComponentResource):
    """The image, and in GitLab the variable by which the jobs of every project name it."""

    reference: pulumi.Output[str]

    def __init__(
        self, name: str, args: RunnerImageArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:apps:RunnerImage", name, None, opts)
        self.reference = args.engine.build(self, args.image, args.recipe, args.registry)
        if args.engine.settings.platform.gitlab.enabled:
            import pulumi_gitlab as gitlab

            gitlab.InstanceVariable(
                f"{name}-variable",
                key=args.variable,
                value=self.reference,
                raw=True,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"reference": self.reference})
