"""What the providers are told: each option has its reason next to it, and was run or read."""

import pytest

from tests.layers.containers import world

ENGINE = {"host", "caMaterial", "certMaterial", "keyMaterial"}
GITLAB = {"baseUrl", "token", "cacertFile", "earlyAuthCheck"}
NODE = {"endpoint", "insecure", "apiToken"}
# The last two are the SDK's own defaults.
VAULT = {"address", "authLoginUserpass", "caCertFile", "maxLeaseTtlSeconds", "maxRetries"}
STORE = {
    *("minioServer", "minioUser", "minioPassword", "minioRegion", "minioSsl"),
    "minioCacertFile",
}
DATABASE = {
    *("host", "port", "username", "password", "database", "sslmode", "sslrootcert"),
    "connectTimeout",  # the SDK's own default
}
# layer -> provider -> its options. A new one needs a run of the provider, or its source read.
OPTIONS = {
    "foundation": {"proxmoxve": NODE, "minio": STORE, "vault": VAULT},
    "platform": {"proxmoxve": NODE, "docker": ENGINE, "gitlab": GITLAB, "vault": VAULT},
    "services": {
        **{"docker": {*ENGINE, "registryAuth"}, "gitlab": GITLAB, "vault": VAULT},
        "postgresql": DATABASE,
    },
    "apps": {"docker": {*ENGINE, "registryAuth"}, "gitlab": GITLAB},
}


def test_providers_are_told_no_more_than_was_tried() -> None:
    found = {
        layer: {
            provider.type.removeprefix("pulumi:providers:"): set(provider.inputs)
            for provider in deployed.resources
            if provider.type.startswith("pulumi:providers:") and provider.inputs
        }
        for layer, deployed in world("lab").items()
    }
    assert found == OPTIONS


@pytest.mark.parametrize("variant", ["dev", "lab"])
def test_postgresql_s_provider_may_open_a_second_connection(variant: str) -> None:
    """With max_connections=1 it waits for itself: 7 of 14 tries with the real provider (#10.1)."""
    provider = world(variant)["services"].one("pulumi:providers:postgresql", "postgresql")
    assert "maxConnections" not in provider.inputs
