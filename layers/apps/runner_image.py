"""The images that CI jobs run in: `runner` for every project, `deployer` for this one's."""

import re
from dataclasses import dataclass
from pathlib import Path

import pulumi

from layers.engine import Engine
from places.image import Recipe
from settings import images

PROJECT = Path(__file__).parents[2]
CHECKSUM = "PULUMI_SHA256"  # the build argument
# Whose plugins are not on Pulumi's own server.
SERVERS = {"proxmoxve": "github://api.github.com/muhlba91/pulumi-proxmoxve"}

RUNNER = Recipe(
    context="provision",
    dockerfile="images/runner/Dockerfile",
    base={"UBUNTU_IMAGE": images.image("ubuntu")},
)


def plugins(requirements: str) -> str:
    """NAME@VERSION[@SERVER] of every provider that the requirements name, by blanks."""
    found = re.findall(r"^pulumi-([a-z-]+)==(\S+)", requirements, re.MULTILINE)
    return " ".join("@".join(filter(None, (n, v, SERVERS.get(n)))) for n, v in found)


DEPLOYER = Recipe(
    context=".",
    parts=("provision", "requirements.txt"),
    dockerfile="images/deployer/Dockerfile",
    base={
        "UBUNTU_IMAGE": images.image("ubuntu"),
        "PULUMI_URL": images.download("pulumi")["url"],
        CHECKSUM: images.download("pulumi")["sha256"],
        "PULUMI_PLUGINS": plugins((PROJECT / "requirements.txt").read_text(encoding="utf-8")),
    },
)


@dataclass(frozen=True, kw_only=True)
class RunnerImageArgs:
    """registry: the project's place in GitLab's registry; variable: where jobs find the image."""

    engine: Engine
    registry: pulumi.Input[str]
    image: str = "runner"
    recipe: Recipe = RUNNER
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
