"""What the services hand up."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pulumi

from layers.outputs import Outputs


@dataclass(frozen=True, kw_only=True)
class ServicesOutputs(Outputs):
    """The services' outputs; maps are plain data.

    postgresql: host, port, inner_host, inner_port, databases (list).
    postgresql_credentials: role -> username, password (secret).
    kafka: bootstrap (outside), inner_bootstrap, topics -> group.
    mlflow, ollama, open_webui, portainer, gateway: url, inner_url.
    gitlab_project: id, path, registry (host:port/path); empty where GitLab is off.
    """

    layer: ClassVar[str] = "services"

    postgresql: pulumi.Output[dict[str, Any]]
    postgresql_credentials: pulumi.Output[dict[str, dict[str, str]]]
    kafka: pulumi.Output[dict[str, Any]]
    mlflow: pulumi.Output[dict[str, str]]
    ollama: pulumi.Output[dict[str, str]]
    open_webui: pulumi.Output[dict[str, str]]
    portainer: pulumi.Output[dict[str, str]]
    gateway: pulumi.Output[dict[str, str]]
    gitlab_project: pulumi.Output[dict[str, Any]]
