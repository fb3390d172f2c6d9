"""What a provider computes, for tests under mocks: the least that the program reads."""

import zlib
from collections.abc import Callable
from typing import Any

Inputs = dict[str, Any]


def _key(name: str, _: Inputs) -> dict[str, Any]:
    pem = f"-----BEGIN PRIVATE KEY-----\n{name}\n-----END PRIVATE KEY-----\n"
    private = dict.fromkeys(("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"), pem)
    return {**private, "publicKeyOpenssh": f"ssh-ed25519 {name}\n"}


def _certificate(name: str, _: Inputs) -> dict[str, Any]:
    return {"certPem": f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n"}


COMPUTED: dict[str, Callable[[str, Inputs], dict[str, Any]]] = {
    "random:index/randomPassword:RandomPassword": lambda name, inputs: {
        "result": f"{name}-".ljust(int(inputs["length"]), "x"),
        "bcryptHash": f"$2a$10${name}",
    },
    "random:index/randomId:RandomId": lambda _, inputs: {
        "hex": "00" * int(inputs["byteLength"]),
        "b64Url": "A" * 22,
    },
    "tls:index/privateKey:PrivateKey": _key,
    "tls:index/selfSignedCert:SelfSignedCert": _certificate,
    "tls:index/locallySignedCert:LocallySignedCert": _certificate,
    "tls:index/certRequest:CertRequest": lambda name, _: {"certRequestPem": name},
    "docker:index/remoteImage:RemoteImage": lambda name, inputs: {
        "imageId": f"sha256:{name}",
        "repoDigest": f"{inputs['name']}@sha256:{name}",
    },
    "docker:index/image:Image": lambda name, inputs: {
        "baseImageName": inputs["imageName"],
        "repoDigest": f"{inputs['imageName']}@sha256:{name}",
    },
    "gitlab:index/userRunner:UserRunner": lambda name, _: {"token": f"glrt-{name}".ljust(25, "0")},
    "gitlab:index/pipelineTrigger:PipelineTrigger": lambda name, _: {
        "token": f"glptt-{name}".ljust(46, "0")
    },
    "gitlab:index/projectAccessToken:ProjectAccessToken": lambda name, _: {
        "token": f"glpat-{name}".ljust(26, "0")
    },
    "gitlab:index/project:Project": lambda _, inputs: {
        "pathWithNamespace": f"datalab/{inputs['path']}"
    },
    "command:local:Command": lambda *_: {"stdout": "", "stderr": ""},
    "vault:index/authBackend:AuthBackend": lambda name, _: {"accessor": f"auth_{name}_0000"},
    "vault:jwt/authBackend:AuthBackend": lambda name, _: {"accessor": f"auth_{name}_0000"},
}


def computed(type_: str, name: str, inputs: Inputs) -> dict[str, Any]:
    """Outputs of a resource beyond its inputs."""
    make = COMPUTED.get(type_)
    return make(name, inputs) if make else {}


def identifier(type_: str, name: str) -> str:
    """The id of a new resource; GitLab's are numbers."""
    return str(zlib.crc32(name.encode())) if type_.startswith("gitlab:") else f"{name}-id"
