"""A certificate authority and its leaves, for servers of a test."""

from dataclasses import dataclass

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


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
        """For a server, and no client's: trustme's own leaves are good for both."""
        ca = x509.load_pem_x509_certificate(self.pem.encode())
        signer = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ca.not_valid_before_utc)
            .not_valid_after(ca.not_valid_after_utc)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(usage, critical=False)
            .sign(signer, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Pair(leaf.public_bytes(pem).decode(), private.decode())


def _pair(leaf: trustme.LeafCert) -> Pair:
    (certificate,) = leaf.cert_chain_pems
    return Pair(certificate.bytes().decode(), leaf.private_key_pem.bytes().decode())
