"""What a provider computes, for tests under mocks: the least that the program reads."""

from typing import Any


def computed(type_: str, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs of a resource beyond its inputs."""
    match type_:
        case "random:index/randomPassword:RandomPassword":
            return {"result": f"{name}-".ljust(int(inputs["length"]), "x")}
        case "random:index/randomId:RandomId":
            return {"hex": "00" * int(inputs["byteLength"]), "b64Url": "AAAAAAAAAAAAAAAAAAAAAA"}
        case "tls:index/privateKey:PrivateKey":
            pem = f"-----BEGIN PRIVATE KEY-----\n{name}\n-----END PRIVATE KEY-----\n"
            return {
                "privateKeyPem": pem,
                "privateKeyPemPkcs8": pem,
                "privateKeyOpenssh": pem,
                "publicKeyOpenssh": f"ssh-ed25519 {name}\n",
            }
        case (
            "tls:index/selfSignedCert:SelfSignedCert"
            | "tls:index/locallySignedCert:LocallySignedCert"
        ):
            return {"certPem": f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n"}
        case "tls:index/certRequest:CertRequest":
            return {"certRequestPem": name}
        case "docker:index/remoteImage:RemoteImage":
            return {"imageId": f"sha256:{name}", "repoDigest": f"{inputs['name']}@sha256:{name}"}
        case "docker-build:index:Image":
            return {"ref": f"{inputs['tags'][0]}@sha256:{name}", "digest": f"sha256:{name}"}
        case "gitlab:index/userRunner:UserRunner":
            return {"token": "glrt-" + "0" * 20}
        case "gitlab:index/pipelineTrigger:PipelineTrigger":
            return {"token": "glptt-" + "0" * 40}
        case "gitlab:index/projectAccessToken:ProjectAccessToken":
            return {"token": "glpat-" + "0" * 20}
        case "gitlab:index/project:Project":
            return {"pathWithNamespace": f"datalab/{inputs['path']}"}
        case "command:local:Command":
            return {"stdout": "", "stderr": ""}
        case "vault:index/authBackend:AuthBackend" | "vault:jwt/authBackend:AuthBackend":
            return {"accessor": f"auth_{name}_0000"}
        case _:
            return {}
