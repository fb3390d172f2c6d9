"""The provider of the lab's Vault, the same in every layer but for who logs in."""

from collections.abc import Mapping

import pulumi
import pulumi_vault as vault

from places.trust import trust_file
from settings import Settings
from settings.names import endpoints


def vault_provider(
    settings: Settings,
    ca: pulumi.Input[str],
    login: Mapping[str, pulumi.Input[str]] | pulumi.Output[dict[str, str]],
    ready: pulumi.Input[str] = "",
) -> vault.Provider:
    """Vault for the identity `login` (username, password), once the output `ready` is known.

    ca is the lab CA's certificate.
    """
    where = endpoints(settings)["vault"]
    return vault.Provider(
        "vault",
        address=pulumi.Output.from_input(ready).apply(
            lambda _: f"https://{where.address}:{where.port}"
        ),
        # Each run logs in, so that no token is kept; and VAULT_TOKEN of a shell counts for nothing.
        auth_login_userpass=vault.ProviderAuthLoginUserpassArgs(
            username=login["username"], password=login["password"]
        ),
        ca_cert_file=trust_file(ca, settings.common.trust_path),
    )
