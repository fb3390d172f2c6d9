"""The lab's certificate authority and every certificate that it signs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from layers.context import Component, LayerContext
from settings import Settings
from settings.common import Certificates as Lifetimes
from settings.names import ROWS, certificate_names, endpoints

ORGANISATION = "datalab"


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A certificate to sign: for a server's names and addresses, or for a client."""

    dns_names: Sequence[str] = ()
    addresses: Sequence[str] = ()
    client: bool = False


class Certificates(Component):
    """The CA, whose key never leaves this layer, and the leaves.

    ca is the CA's certificate; leaves maps a name to its certificate and key, all PEM.
    """

    TYPE = "datalab:foundation:Certificates"
    NAME = "certificates"

    ca: pulumi.Output[str]
    leaves: Mapping[str, Mapping[str, pulumi.Output[str]]]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        lifetimes = context.settings.common.certificates
        # Everything in the lab trusts the CA: a new one would cut off every machine and laptop. Its
        # leaves are not protected, as they are made again when due or when an address changes.
        child = pulumi.ResourceOptions(parent=self, protect=context.protect)
        key = _key(f"{name}-ca", child)
        authority = tls.SelfSignedCert(
            f"{name}-ca",
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,
            allowed_uses=["cert_signing", "crl_signing"],
            subject=tls.SelfSignedCertSubjectArgs(
                common_name=f"{ORGANISATION} CA", organization=ORGANISATION
            ),
            validity_period_hours=lifetimes.ca_days * 24,
            opts=child,
        )
        self.ca = authority.cert_pem
        self.leaves = {
            leaf_name: self._sign(leaf_name, leaf, lifetimes, key, authority)
            for leaf_name, leaf in leaves(context.settings).items()
        }
        self.register_outputs({"ca": self.ca})

    def _sign(
        self,
        name: str,
        leaf: Leaf,
        lifetimes: Lifetimes,
        ca_key: tls.PrivateKey,
        authority: tls.SelfSignedCert,
    ) -> dict[str, pulumi.Output[str]]:
        child = pulumi.ResourceOptions(parent=self)
        key = _key(name, child)
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=name, organization=ORGANISATION),
            dns_names=list(leaf.dns_names) or None,
            ip_addresses=list(leaf.addresses) or None,
            opts=child,
        )
        signed = tls.LocallySignedCert(
            f"{name}-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=ca_key.private_key_pem,
            ca_cert_pem=authority.cert_pem,
            allowed_uses=["digital_signature", "client_auth" if leaf.client else "server_auth"],
            validity_period_hours=lifetimes.leaf_days * 24,
            early_renewal_hours=lifetimes.renew_days * 24,
            opts=child,
        )
        return {"certificate": signed.cert_pem, "key": key.private_key_pem_pkcs8}


def leaves(settings: Settings) -> dict[str, Leaf]:
    """Every certificate that the environment needs, by name."""
    present = endpoints(settings)
    found = {}
    for name in present:
        if ROWS[name].listener.certificate:
            dns_names, addresses = certificate_names(settings, name)
            found[name] = Leaf(dns_names=dns_names, addresses=addresses)
    if "docker" in present:
        found["docker-client"] = Leaf(client=True)
    return found


def _key(name: str, opts: pulumi.ResourceOptions) -> tls.PrivateKey:
    # P-256: every client of the lab knows it, browsers and Java among them; Ed25519 they do not.
    return tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=opts)
