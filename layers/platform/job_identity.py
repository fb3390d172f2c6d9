"""How Vault knows GitLab's CI jobs: by the ID tokens that GitLab signs for them."""

from collections.abc import Sequence

import pulumi
import pulumi_vault as vault

from layers.context import Component, LayerContext
from layers.platform.gitlab import GitLab

PATH = "jwt-gitlab"


class JobIdentity(Component):
    """The auth mount; who may log in to what is the services' part (roles and policies)."""

    TYPE = "datalab:platform:JobIdentity"
    NAME = "job-identity"

    @classmethod
    def providers(cls, context: LayerContext) -> Sequence[pulumi.ProviderResource]:
        """Vault's."""
        return [context.vault]

    accessor: pulumi.Output[str]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        ready = context.component(GitLab).ready
        # Exactly as it stands in its tokens' `iss`.
        issuer = context.endpoint("gitlab").inner_url
        mount = vault.jwt.AuthBackend(
            f"{name}-mount",
            path=PATH,
            type="jwt",
            description="CI jobs of the lab's GitLab",
            # Vault fetches the keys before it takes their address (vault-plugin-auth-jwt,
            # path_config.go): "error checking jwks URL" where GitLab is not up yet.
            jwks_url=ready.apply(lambda _: f"{issuer}/oauth/discovery/keys"),
            jwks_ca_pem=context.ca if issuer.startswith("https:") else None,
            bound_issuer=issuer,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.accessor = mount.accessor
        self.register_outputs({"accessor": self.accessor})
