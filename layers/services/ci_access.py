"""What CI jobs may do in Vault: policies, logins, and the records that they work with.

Policies and roles are data under files/vault; tests give the very same to a real server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import pulumi
import pulumi_vault as vault
import yaml

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


@dataclass(frozen=True, kw_only=True)
class CiAccessArgs:
    """accessor: of GitLab's auth mount; project_id: the lab's own project.

    records: path in `kv` -> the record, whose values are secret: infra/provision/postgres (host,
    port, user, password, vault_user, sslmode), infra/provision/kafka (bootstrap),
    infra/provision/ollama (url), shared/provision (url, project_id, ref, trigger_token,
    read_token), infra/ci/preview, infra/ci/deploy and infra/ci/notes (environment variables).
    database: host, port, sslmode, ca (PEM), username and password of Vault's own role in
    PostgreSQL.
    """

    accessor: pulumi.Input[str]
    project_id: pulumi.Input[str]
    records: Mapping[str, Mapping[str, pulumi.Input[str]]]
    database: Mapping[str, pulumi.Input[str]]


class CiAccess(pulumi.ComponentResource):
    """Policies, roles and records of the CI jobs of every project."""

    def __init__(self, name: str, args: CiAccessArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:services:CiAccess", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        accessor = pulumi.Output.from_input(args.accessor)
        # The accessor is not known before the first `up`, but the names are.
        for policy in policies("unknown"):
            vault.Policy(
                f"{name}-{policy}",
                name=policy,
                policy=accessor.apply(policies)[policy],
                opts=child,
            )
        project_id = pulumi.Output.from_input(args.project_id)
        for role, arguments in roles("unknown").items():
            claims = project_id.apply(roles)[role]["bound_claims"]
            vault.jwt.AuthBackendRole(
                f"{name}-{role}",
                backend=AUTH_PATH,
                role_name=role,
                **{**arguments, "bound_claims": claims},
                opts=child,
            )
        for path, record in args.records.items():
            vault.kv.SecretV2(
                f"{name}-{path.replace('/', '-')}",
                mount=MOUNT,
                name=path,
                data_json=pulumi.Output.json_dumps(
                    {key: pulumi.Output.secret(value) for key, value in record.items()}
                ),
                opts=child,
            )
        self._database(name, args.database, child)
        self.register_outputs({})

    @staticmethod
    def _database(
        name: str, login: Mapping[str, pulumi.Input[str]], child: pulumi.ResourceOptions
    ) -> None:
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
                    login["host"],
                    login["port"],
                    login["sslmode"],
                ),
                # The CA as text: its path would have to be the same wherever Vault runs.
                tls_ca=login["ca"],
                username=login["username"],
                password=pulumi.Output.secret(login["password"]),
                password_authentication="scram-sha-256",  # noqa: S106  # a method, not a password
            ),
            opts=child,
        )
