"""Only the foundation signs certificates, and none can be taken for one of another kind."""

import pytest

from tests.layers.containers import VARIANTS, world

pytestmark = pytest.mark.slow
LEAF = "tls:index/locallySignedCert:LocallySignedCert"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_authoritys_key_is_given_to_nothing_and_nobody(variant: str) -> None:
    layers = world(variant)
    leaves = layers["foundation"].all(LEAF)
    (key,) = {leaf.inputs["caPrivateKeyPem"] for leaf in leaves}
    assert "BEGIN" in key
    for layer in layers.values():
        assert key not in repr(layer.outputs), layer.layer
        for made in layer.resources:
            if not made.type.startswith("tls:"):
                assert key not in repr(made.inputs), made.name


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stolen_certificate_serves_for_one_thing_only(variant: str) -> None:
    """A server's is refused as a client's, with which the Docker host is root; none can sign."""
    layers = world(variant)
    assert not [name for name, layer in layers.items() if name != "foundation" and layer.all(LEAF)]
    for leaf in layers["foundation"].all(LEAF):
        assert not leaf.inputs.get("isCaCertificate"), leaf.name
        use = "client_auth" if leaf.name == "docker-client-certificate" else "server_auth"
        assert leaf.inputs["allowedUses"] == ["digital_signature", use], leaf.name
