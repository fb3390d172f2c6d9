"""What the foundation hands up."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pulumi

from layers.outputs import Outputs


@dataclass(frozen=True, kw_only=True)
class FoundationOutputs(Outputs):
    """The foundation's outputs; maps are plain data.

    object_store: endpoint, inner_endpoint, region, buckets (list).
    credentials: consumer -> access_key, secret_key (secret).
    ca_certificate: PEM of the lab's CA.
    certificates: name -> certificate, key, as PEM, for every service and client (secret).
    vault: address, inner_address.
    vault_identities: platform, services, apps -> username, password (secret).
    cache: kind of upstream -> URLs by name, for clients outside; see settings.cache.
    network: the containers' network in `dev`; empty in `lab`, where the platform makes it.
    """

    layer: ClassVar[str] = "foundation"

    object_store: pulumi.Output[dict[str, Any]]
    credentials: pulumi.Output[dict[str, dict[str, str]]]
    ca_certificate: pulumi.Output[str]
    certificates: pulumi.Output[dict[str, dict[str, str]]]
    vault: pulumi.Output[dict[str, str]]
    vault_identities: pulumi.Output[dict[str, dict[str, str]]]
    cache: pulumi.Output[dict[str, Any]]
    network: pulumi.Output[str]
