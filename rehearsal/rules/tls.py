"""Real keys and certificates: who reads them checks them, as the real providers do.

Why they are made and not fixed: docs/decisions/keys-of-the-rehearsal.md.
"""

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rehearsal.refusals import RefusedError
from rehearsal.rules import Step, check, outputs, renews
from rehearsal.world import World

KEY = "tls:index/privateKey:PrivateKey"
REQUEST = "tls:index/certRequest:CertRequest"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
SIGNED = "tls:index/locallySignedCert:LocallySignedCert"
# The words of the provider for what the program gives, and those of X.509.
SUBJECT = {"commonName": NameOID.COMMON_NAME, "organization": NameOID.ORGANIZATION_NAME}
EXTENDED = {
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}
USAGES = {
    "digital_signature": "digital_signature",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
}
OTHER_USAGES = (
    *("content_commitment", "data_encipherment", "decipher_only", "encipher_only"),
    *("key_agreement", "key_encipherment"),
)

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PEM = serialization.Encoding.PEM


@outputs(KEY)
def private_key(step: Step) -> dict[str, Any]:
    curve = {"P256": ec.SECP256R1, "P384": ec.SECP384R1}.get(step.inputs.get("ecdsaCurve", ""))
    if step.inputs["algorithm"] == "ED25519":
        key: PrivateKey = ed25519.Ed25519PrivateKey.generate()
    elif step.inputs["algorithm"] == "ECDSA" and curve:
        key = ec.generate_private_key(curve())
    else:
        raise RefusedError("tls-unknown", algorithm=step.inputs["algorithm"])
    public = key.public_key()
    openssh = public.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return {
        "privateKeyPem": _private(key, serialization.PrivateFormat.PKCS8),
        "privateKeyPemPkcs8": _private(key, serialization.PrivateFormat.PKCS8),
        "privateKeyOpenssh": _private(key, serialization.PrivateFormat.OpenSSH),
        "publicKeyOpenssh": f"{openssh.decode()}\n",
        "publicKeyPem": _public(public).decode(),
    }


def _private(key: PrivateKey, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(PEM, form, serialization.NoEncryption()).decode()


def _public(key: Any) -> bytes:
    made: bytes = key.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return made


def are_pair(certificate: str, key: str) -> bool:
    """Whether a certificate is for a private key, both PEM."""
    try:
        public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        own = serialization.load_pem_private_key(key.encode(), None).public_key()
    except (ValueError, TypeError):
        return False
    return _public(public) == _public(own)


def _key(step: Step, name: str) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(str(step.inputs[name]).encode(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, PrivateKey):
        raise RefusedError("tls-key-pem", property=name)
    return key


def _hash(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _subject(inputs: Mapping[str, Any]) -> x509.Name:
    given = inputs.get("subject") or {}
    return x509.Name(
        [x509.NameAttribute(oid, given[word]) for word, oid in SUBJECT.items() if given.get(word)]
    )


def _names(inputs: Mapping[str, Any]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            *(x509.DNSName(name) for name in inputs.get("dnsNames") or []),
            *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in inputs.get("ipAddresses") or []),
        ]
    )


@check(REQUEST, SELF_SIGNED)
def somebody_is_named(inputs: Mapping[str, Any]) -> None:
    if not any(inputs.get(name) for name in ("subject", "dnsNames", "ipAddresses", "uris")):
        raise RefusedError("tls-nobody", at="subject")


@outputs(REQUEST)
def request(step: Step) -> dict[str, Any]:
    key = _key(step, "privateKeyPem")
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(step.inputs))
    builder = builder.add_extension(_names(step.inputs), critical=False)
    return {"certRequestPem": builder.sign(key, _hash(key)).public_bytes(PEM).decode()}


@outputs(SELF_SIGNED)
def self_signed(step: Step) -> dict[str, Any]:
    key, subject = _key(step, "privateKeyPem"), _subject(step.inputs)
    holder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    return _certificate(step, key, subject, holder, key.public_key())


@outputs(SIGNED)
def locally_signed(step: Step) -> dict[str, Any]:
    try:
        asked = x509.load_pem_x509_csr(str(step.inputs["certRequestPem"]).encode())
        issuer = x509.load_pem_x509_certificate(str(step.inputs["caCertPem"]).encode())
    except ValueError:
        raise RefusedError("tls-pem") from None
    key = _key(step, "caPrivateKeyPem")
    if key.public_key() != issuer.public_key():
        raise RefusedError("tls-ca-mismatch")
    holder = x509.CertificateBuilder().subject_name(asked.subject).public_key(asked.public_key())
    for extension in asked.extensions:
        holder = holder.add_extension(extension.value, extension.critical)
    return _certificate(step, key, issuer.subject, holder, asked.public_key())


def _certificate(
    step: Step, key: PrivateKey, issuer: x509.Name, holder: x509.CertificateBuilder, public: Any
) -> dict[str, Any]:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=step.world.days)
    end = start + timedelta(hours=step.inputs["validityPeriodHours"])
    allowed = set(step.inputs.get("allowedUses") or [])
    usages = dict.fromkeys(OTHER_USAGES, False)
    usages |= {field: word in allowed for word, field in USAGES.items()}
    builder = (
        holder.issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(
            x509.BasicConstraints(
                ca=bool(step.inputs.get("isCaCertificate")),
                path_length=step.inputs.get("maxPathLength"),
            ),
            critical=True,
        )
        .add_extension(x509.KeyUsage(**usages), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    if step.inputs.get("isCaCertificate"):
        # As the provider does (createCertificate in common_cert.go): Python from 3.13 takes no
        # authority without it.
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public), critical=False
        )
    extended = [oid for word, oid in EXTENDED.items() if word in allowed]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    return {
        "certPem": builder.sign(key, _hash(key)).public_bytes(PEM).decode(),
        "readyForRenewal": False,
        "validityStartTime": start.isoformat(),
        "validityEndTime": end.isoformat(),
    }


@renews(SELF_SIGNED, SIGNED)
def certificate_is_due(
    world: World, known: Mapping[str, Any], inputs: Mapping[str, Any]
) -> set[str]:
    """In its last hours a certificate is replaced by the first `up`."""
    hours, ends = inputs.get("earlyRenewalHours"), known.get("validityEndTime")
    if not hours or not isinstance(ends, str):
        return set()
    now = datetime.now(UTC) + timedelta(days=world.days)
    due = datetime.fromisoformat(ends) - timedelta(hours=hours) <= now
    return {"readyForRenewal"} if due else set()
