"""A certificate authority and its leaves, for servers of a test."""

from dataclasses import dataclass

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str


class Authority:
    """A CA that signs for servers and clients of a test."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.pem = self._ca.cert_pem.bytes().decode()

    def server(self, *names: str, address: str = "127.0.0.1") -> Pair:
        """For a server with these DNS names and this address, besides localhost and its own."""
        return _pair(self._ca.issue_cert(*names, "localhost", *{"127.0.0.1", address}))

    def client(self, name: str) -> Pair:
        """For a client of this name; also as a DNS name, as Go takes no empty list of names."""
        return _pair(self._ca.issue_cert(name, common_name=name))

    def server_only(self, name: str) -> Pair:
        """What `client` gives, but for a server alone: trustme's leaves are good for both."""
        leaf = self.client(name)
        given = x509.load_pem_x509_certificate(leaf.certificate.encode())
        made = (
            x509.CertificateBuilder()
            .subject_name(given.subject)
            .issuer_name(given.issuer)
            .public_key(given.public_key())
            .serial_number(given.serial_number)
            .not_valid_before(given.not_valid_before_utc)
            .not_valid_after(given.not_valid_after_utc)
        )
        for extension in given.extensions:
            usage = isinstance(extension.value, x509.ExtendedKeyUsage)
            value = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
            made = made.add_extension(value if usage else extension.value, extension.critical)
        signer = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        signed = made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return Pair(signed.decode(), leaf.key)


def _pair(leaf: trustme.LeafCert) -> Pair:
    (certificate,) = leaf.cert_chain_pems
    return Pair(certificate.bytes().decode(), leaf.private_key_pem.bytes().decode())
