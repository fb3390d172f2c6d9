"""What CI jobs may do in Vault: policies, logins, and the records that they work with.

Policies and roles are data under files/vault; tests give the very same to a real server.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import pulumi
import pulumi_vault as vault
import yaml

from layers.context import Component, LayerContext
from layers.services.gitlab_project import BRANCH, GitLabProject
from layers.services.kafka import bootstrap
from layers.services.postgresql import login

FILES = Path(__file__).parent / "files" / "vault"
AUTH_PATH = "jwt-gitlab"
# kv is mounted by the foundation.
MOUNT = "kv"


def policies(accessor: str) -> dict[str, str]:
    """Every policy by name; `accessor` is that of the auth mount at AUTH_PATH."""
    return {
        file.stem: Template(file.read_text()).substitute(accessor=accessor)
        for file in sorted((FILES / "policies").glob("*.hcl"))
    }


def roles(project_id: str) -> dict[str, dict[str, Any]]:
    """Arguments of every login role by name; `project_id` is the lab's own project."""
    data = yaml.safe_load((FILES / "roles.yaml").read_text())
    return {
        name: {
            "role_type": "jwt",
            "user_claim": "project_id",
            "claim_mappings": {"project_id": "project_id"},
            "bound_audiences": [data["audience"]],
            # The provider takes several values of a claim as one text with commas.
            "bound_claims": {
                claim: Template(",".join(values)).substitute(project_id=project_id)
                for claim, values in role["claims"].items()
            },
            "token_policies": role["policies"],
            "token_ttl": role["ttl"],
            "token_max_ttl": role["ttl"],
            "token_type": "batch",
            "token_no_default_policy": True,
        }
        for name, role in data["roles"].items()
    }


class CiAccess(Component):
    """Policies, roles and records of the CI jobs of every project."""

    TYPE = "datalab:services:CiAccess"
    NAME = "ci-access"

    @classmethod
    def providers(cls, context: LayerContext) -> Sequence[pulumi.ProviderResource]:
        """Vault's."""
        return [context.vault]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        project = context.component(GitLabProject)
        child = pulumi.ResourceOptions(parent=self)
        accessor = pulumi.Output.from_input(context.platform.vault_jwt_accessor)
        # The accessor is not known before the first `up`, but the names are.
        for policy in policies("unknown"):
            vault.Policy(
                f"{name}-{policy}",
                name=policy,
                policy=accessor.apply(policies)[policy],
                opts=child,
            )
        project_id = pulumi.Output.from_input(project.id)
        for role, arguments in roles("unknown").items():
            claims = project_id.apply(roles)[role]["bound_claims"]
            vault.jwt.AuthBackendRole(
                f"{name}-{role}",
                backend=AUTH_PATH,
                role_name=role,
                **{**arguments, "bound_claims": claims},
                opts=child,
            )
        for path, record in _records(context, project).items():
            vault.kv.SecretV2(
                f"{name}-{path.replace('/', '-')}",
                mount=MOUNT,
                name=path,
                data_json=pulumi.Output.json_dumps(
                    {key: pulumi.Output.secret(value) for key, value in record.items()}
                ),
                opts=child,
            )
        if context.has("postgresql"):
            self._database(name, context, child)
        self.register_outputs({})

    @staticmethod
    def _database(name: str, context: LayerContext, child: pulumi.ResourceOptions) -> None:
        server = _server(context)
        mount = vault.Mount(f"{name}-database", path="database", type="database", opts=child)
        vault.database.SecretBackendConnection(
            f"{name}-postgres",
            backend=mount.path,
            name="postgres",
            # Roles that the provisioner writes; never "*".
            allowed_roles=["project-*"],
            # PostgreSQL and Vault may start in any order after a reboot.
            verify_connection=False,
            postgresql=vault.database.SecretBackendConnectionPostgresqlArgs(
                connection_url=pulumi.Output.format(
                    "postgresql://{{{{username}}}}:{{{{password}}}}@{}:{}/postgres?sslmode={}",
                    server["host"],
                    server["port"],
                    server["sslmode"],
                ),
                # The CA as text: its path would have to be the same wherever Vault runs.
                tls_ca=context.ca,
                username=login("vault"),
                password=pulumi.Output.secret(context.secret("postgresql-vault")),
                password_authentication="scram-sha-256",  # noqa: S106  # a method, not a password
            ),
            opts=child,
        )


def _server(context: LayerContext) -> dict[str, str]:
    """How jobs and Vault reach PostgreSQL; they are in the containers' network in `dev` only."""
    database = context.endpoint("postgresql")
    return {
        "host": database.inner_host if context.local else database.host,
        "port": str(database.inner_port if context.local else database.port),
        "sslmode": "verify-full",
    }


def _records(
    context: LayerContext, project: GitLabProject
) -> Mapping[str, Mapping[str, pulumi.Input[str]]]:
    """Path in `kv` -> the record that jobs find there, whose values are secret."""
    return {
        **_provisioners(context),
        "shared/provision": {
            "url": context.endpoint("gitlab").inner_url,
            "project_id": project.id,
            "ref": BRANCH,
            "trigger_token": project.tokens["trigger"],
            "read_token": project.tokens["status"],
        },
        "infra/ci/notes": {"GITLAB_TOKEN": project.tokens["notes"]},
    }


def _provisioners(context: LayerContext) -> dict[str, Mapping[str, pulumi.Input[str]]]:
    """Of each server that projects can ask for something: how its provisioner reaches it."""
    found: dict[str, Mapping[str, pulumi.Input[str]]] = {}
    if context.has("postgresql"):
        found["infra/provision/postgres"] = {
            **_server(context),
            "user": login("provisioner"),
            "password": context.secret("postgresql-provisioner"),
            "vault_user": "vault",
        }
    if context.has("kafka"):
        inside = context.endpoint("kafka").inner_netloc
        found["infra/provision/kafka"] = {
            "bootstrap": inside if context.local else bootstrap(context)
        }
    if context.has("ollama"):
        models = context.endpoint("ollama")
        found["infra/provision/ollama"] = {"url": models.inner_url if context.local else models.url}
    return found
