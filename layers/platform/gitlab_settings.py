"""GitLab's application settings: who may come in, and what it tells its makers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pulumi_gitlab as gitlab
import yaml

from layers.context import Component, LayerContext

FILE = Path(__file__).parent / "files" / "gitlab" / "application-settings.yaml"


class GitLabSettings(Component):
    """The settings of FILE. A removed resource leaves GitLab as it is: the provider sets only."""

    TYPE = "datalab:platform:GitLabSettings"
    NAME = "gitlab-settings"

    @classmethod
    def providers(cls, context: LayerContext) -> Sequence[pulumi.ProviderResource]:
        """GitLab's."""
        return [context.gitlab]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        gitlab.ApplicationSettings(
            f"{name}-application", **wanted(), opts=pulumi.ResourceOptions(parent=self)
        )
        self.register_outputs({})


def wanted() -> Mapping[str, Any]:
    """What FILE says, by the provider's names."""
    found: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found
