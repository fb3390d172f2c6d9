"""The providers of a layer, each made in one place.

Their SDKs are imported where they are used: each takes up to 0.4 s, and no layer needs all.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pulumi
import pulumi_docker

from settings.program import Given
from settings.target import ProxmoxTarget

if TYPE_CHECKING:
    import pulumi_vault

    from settings.names import Endpoint

Login = Mapping[str, pulumi.Input[str]] | pulumi.Output[dict[str, str]]


def randoms() -> pulumi.ProviderResource:
    """What makes passwords."""
    import pulumi_random as random

    return random.Provider("random")


def keys() -> pulumi.ProviderResource:
    """What makes keys and certificates."""
    import pulumi_tls as tls

    return tls.Provider("tls")


def commands() -> pulumi.ProviderResource:
    """What runs commands."""
    import pulumi_command as command

    return command.Provider("command")


def docker(
    access: Login | None, registry: pulumi_docker.ProviderRegistryAuthArgs | None = None
) -> pulumi_docker.Provider:
    """An engine's: that of the machine at hand, or of the Docker VM.

    access has host, ca, certificate and key of the VM's; registry is the login to the lab's own.
    """
    return pulumi_docker.Provider(
        "docker",
        # Locally without a host: it takes DOCKER_HOST or the socket, as the user's own tools do.
        host=None if access is None else access["host"],
        ca_material=None if access is None else pulumi.Output.secret(access["ca"]),
        cert_material=None if access is None else pulumi.Output.secret(access["certificate"]),
        key_material=None if access is None else pulumi.Output.secret(access["key"]),
        registry_auth=[registry] if registry else None,
    )


def proxmox(node: ProxmoxTarget, given: Given) -> pulumi.ProviderResource:
    """The node's."""
    from targets.proxmox import provider

    if given.proxmox_api_token is None:
        raise ValueError("there is no API token of the node")
    return provider("proxmox", node, given.proxmox_api_token)


def gitlab(
    url: pulumi.Input[str], token: pulumi.Input[str], trust: pulumi.Input[str]
) -> pulumi.ProviderResource:
    """That of the lab's GitLab; trust is the path of the CA's certificate."""
    import pulumi_gitlab

    return pulumi_gitlab.Provider(
        "gitlab",
        base_url=url,
        token=token,
        cacert_file=trust,
        # A preview must work while GitLab is off, and of a fresh lab before there is one.
        early_auth_check=False,
    )


def vault(
    where: "Endpoint",
    login: Login,
    trust: pulumi.Input[str],
    ready: pulumi.Input[str] = "",
) -> "pulumi_vault.Provider":
    """Vault's for the identity `login` (username, password), once the output `ready` is known."""
    import pulumi_vault

    return pulumi_vault.Provider(
        "vault",
        address=pulumi.Output.from_input(ready).apply(lambda _: f"https://{where.reached}"),
        # Each run logs in, so that no token is kept; and VAULT_TOKEN of a shell counts for nothing.
        auth_login_userpass=pulumi_vault.ProviderAuthLoginUserpassArgs(
            username=login["username"], password=login["password"]
        ),
        ca_cert_file=trust,
    )
