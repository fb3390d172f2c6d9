"""Real keys and certificates, so that whoever consumes them gets values that are valid."""

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rehearsal.physics import Step, check, outputs
from rehearsal.refusals import RefusedError
from rehearsal.wire import Unknown

KEY = "tls:index/privateKey:PrivateKey"
REQUEST = "tls:index/certRequest:CertRequest"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
SIGNED = "tls:index/locallySignedCert:LocallySignedCert"
# The word for a name's part in the provider, and in X.509.
SUBJECT = {
    "commonName": NameOID.COMMON_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "country": NameOID.COUNTRY_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
}
EXTENDED = {
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
}
USAGES = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
}
CURVES: Mapping[str, type[ec.EllipticCurve]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}


PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@check(KEY)
def algorithm_is_known(inputs: Mapping[str, Any]) -> None:
    algorithm = inputs.get("algorithm")
    if not isinstance(algorithm, Unknown) and algorithm not in ("RSA", "ECDSA", "ED25519"):
        raise RefusedError("tls-algorithm", at="algorithm", algorithm=algorithm)


@outputs(KEY)
def private_key(step: Step) -> dict[str, Any]:
    match step.inputs["algorithm"]:
        case "RSA":
            key: PrivateKey = rsa.generate_private_key(65537, step.inputs.get("rsaBits", 2048))
        case "ECDSA":
            key = ec.generate_private_key(CURVES[step.inputs.get("ecdsaCurve", "P224")]())
        case _:
            key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key()
    own = serialization.PrivateFormat.PKCS8
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        own = serialization.PrivateFormat.TraditionalOpenSSL
    made = {
        "privateKeyPem": _private(key, own),
        "privateKeyPemPkcs8": _private(key, serialization.PrivateFormat.PKCS8),
        "publicKeyPem": public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode(),
        "privateKeyOpenssh": "",
        "publicKeyOpenssh": "",
        "publicKeyFingerprintMd5": "",
        "publicKeyFingerprintSha256": "",
    }
    try:  # OpenSSH knows no P-224, and the provider leaves these empty then
        openssh = public.public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    except (UnsupportedAlgorithm, ValueError):
        return made
    blob = base64.b64decode(openssh.split()[1])
    sha256, md5 = hashes.Hash(hashes.SHA256()), hashes.Hash(hashes.MD5())  # noqa: S303 - as OpenSSH
    sha256.update(blob)
    md5.update(blob)
    return made | {
        "privateKeyOpenssh": _private(key, serialization.PrivateFormat.OpenSSH),
        "publicKeyOpenssh": f"{openssh.decode()}\n",
        "publicKeyFingerprintMd5": md5.finalize().hex(":"),
        "publicKeyFingerprintSha256": "SHA256:"
        + base64.b64encode(sha256.finalize()).decode().rstrip("="),
    }


def _private(key: PrivateKey, form: serialization.PrivateFormat) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode()


def _key(step: Step, name: str) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(str(step.inputs[name]).encode(), None)
    except (ValueError, TypeError):
        raise RefusedError("tls-key-pem", property=name) from None
    if not isinstance(key, PrivateKey):
        raise RefusedError("tls-key-pem", property=name)
    return key


def _hash(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _algorithm(key: PrivateKey) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RSA"
    return "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey) else "ED25519"


def _subject(inputs: Mapping[str, Any]) -> x509.Name:
    given = inputs.get("subject") or {}
    return x509.Name(
        [x509.NameAttribute(oid, given[word]) for word, oid in SUBJECT.items() if given.get(word)]
    )


def _names(inputs: Mapping[str, Any]) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in inputs.get("dnsNames") or []),
        *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in inputs.get("ipAddresses") or []),
        *(x509.UniformResourceIdentifier(uri) for uri in inputs.get("uris") or []),
    ]


@check(REQUEST, SELF_SIGNED)
def somebody_is_named(inputs: Mapping[str, Any]) -> None:
    if not any(inputs.get(name) for name in ("subject", "dnsNames", "ipAddresses", "uris")):
        raise RefusedError("tls-nobody", at="subject")


@outputs(REQUEST)
def request(step: Step) -> dict[str, Any]:
    key = _key(step, "privateKeyPem")
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(step.inputs))
    names = _names(step.inputs)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(key, _hash(key))
    return {
        "certRequestPem": signed.public_bytes(serialization.Encoding.PEM).decode(),
        "keyAlgorithm": _algorithm(key),
    }


@outputs(SELF_SIGNED)
def self_signed(step: Step) -> dict[str, Any]:
    key = _key(step, "privateKeyPem")
    subject, names = _subject(step.inputs), _names(step.inputs)
    return {
        **_certificate(step, key, subject, _Holder(key.public_key(), subject, names)),
        "keyAlgorithm": _algorithm(key),
    }


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
    try:
        extension = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = list(extension.value)
    except x509.ExtensionNotFound:
        names = []
    holder = _Holder(asked.public_key(), asked.subject, names)
    made = _certificate(step, key, issuer.subject, holder)
    return {**made, "caKeyAlgorithm": _algorithm(key)}


@dataclass(frozen=True)
class _Holder:
    """Whom a certificate is for."""

    public: Any
    subject: x509.Name
    names: list[x509.GeneralName]


def _certificate(step: Step, key: PrivateKey, issuer: x509.Name, holder: _Holder) -> dict[str, Any]:
    start = datetime.now(UTC).replace(microsecond=0)
    end = start + timedelta(hours=step.inputs["validityPeriodHours"])
    allowed = set(step.inputs.get("allowedUses") or [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(holder.subject)
        .issuer_name(issuer)
        .public_key(holder.public)
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
        .add_extension(
            x509.KeyUsage(
                encipher_only=False,
                decipher_only=False,
                **{field: word in allowed for word, field in USAGES.items()},
            ),
            critical=True,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(holder.public), critical=False)
    )
    extended = [oid for word, oid in EXTENDED.items() if word in allowed]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if holder.names:
        names = x509.SubjectAlternativeName(holder.names)
        builder = builder.add_extension(names, critical=False)
    signed = builder.sign(key, _hash(key))
    return {
        "certPem": signed.public_bytes(serialization.Encoding.PEM).decode(),
        "readyForRenewal": False,
        "validityStartTime": start.isoformat(),
        "validityEndTime": end.isoformat(),
    }
