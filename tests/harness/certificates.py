"""A certificate authority and its leaves, for servers of a test."""

from dataclasses import dataclass

import trustme


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


def _pair(leaf: trustme.LeafCert) -> Pair:
    (certificate,) = leaf.cert_chain_pems
    return Pair(certificate.bytes().decode(), leaf.private_key_pem.bytes().decode())
