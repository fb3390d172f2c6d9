"""How Vault knows GitLab's CI jobs: by the ID tokens that GitLab signs for them."""

from dataclasses import dataclass

import pulumi
import pulumi_vault as vault

PATH = "jwt-gitlab"


@dataclass(frozen=True, kw_only=True)
class JobIdentityArgs:
    """GitLab's address exactly as it stands in its tokens' `iss`, and the CA of its certificate.

    ready is known once GitLab answers.
    """

    gitlab_url: str
    ready: pulumi.Input[str]
    ca: pulumi.Input[str]


class JobIdentity(pulumi.ComponentResource):
    """The auth mount; who may log in to what is the services' part (roles and policies)."""

    accessor: pulumi.Output[str]

    def __init__(
        self, name: str, args: JobIdentityArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:platform:JobIdentity", name, None, opts)
        mount = vault.jwt.AuthBackend(
            f"{name}-mount",
            path=PATH,
            type="jwt",
            description="CI jobs of the lab's GitLab",
            # Vault fetches the keys before it takes their address (vault-plugin-auth-jwt,
            # path_config.go): "error checking jwks URL" where GitLab is not up yet.
            jwks_url=pulumi.Output.from_input(args.ready).apply(
                lambda _: f"{args.gitlab_url}/oauth/discovery/keys"
            ),
            jwks_ca_pem=args.ca if args.gitlab_url.startswith("https:") else None,
            bound_issuer=args.gitlab_url,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.accessor = mount.accessor
        self.register_outputs({"accessor": self.accessor})
