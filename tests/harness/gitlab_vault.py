"""Vault as the lab sets it up for GitLab's jobs, from the very data that the layer loads."""

from layers.services.ci_access import AUTH_PATH, policies, roles
from tests.harness.vault_api import VaultServer


def configure(server: VaultServer, issuer: str, project_id: int) -> None:
    """Mount JWT login for the GitLab at `issuer`, with every policy and role of the files."""
    client = server.client()
    client.sys.enable_auth_method("jwt", path=AUTH_PATH)
    client.write_data(
        f"auth/{AUTH_PATH}/config",
        data={"jwks_url": f"{issuer}/oauth/discovery/keys", "bound_issuer": issuer},
    )
    mounts = client.read("sys/auth")
    assert isinstance(mounts, dict)
    accessor = mounts["data"][f"{AUTH_PATH}/"]["accessor"]
    for name, text in policies(accessor).items():
        client.sys.create_or_update_policy(name, text)
    for name, role in roles(str(project_id)).items():
        # As pulumi_vault does, a value with commas is a list of the values to accept.
        claims = {claim: value.split(",") for claim, value in role["bound_claims"].items()}
        client.write_data(f"auth/{AUTH_PATH}/role/{name}", data={**role, "bound_claims": claims})
