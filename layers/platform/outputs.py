"""What the platform hands up."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pulumi

from layers.outputs import Outputs


@dataclass(frozen=True, kw_only=True)
class PlatformOutputs(Outputs):
    """The platform's outputs; maps are plain data.

    docker: host, ca, certificate, key (secret); all empty for the engine of the machine at hand.
    network: the containers' network, in both places.
    gitlab: url, api_url (by address), registry (host:port); empty where GitLab is off.
    gitlab_token: an administrator's API token (secret); empty where GitLab is off.
    vault_jwt_accessor: accessor of GitLab's auth mount in Vault; empty where GitLab is off.
    """

    layer: ClassVar[str] = "platform"

    docker: pulumi.Output[dict[str, str]]
    network: pulumi.Output[str]
    gitlab: pulumi.Output[dict[str, Any]]
    gitlab_token: pulumi.Output[str]
    vault_jwt_accessor: pulumi.Output[str]
