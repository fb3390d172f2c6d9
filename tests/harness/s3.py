"""A real S3 server over TLS that checks signatures: SeaweedFS from the Python registry."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.certificates import Pair
from tests.harness.process import clean_environment, free_port, listens, server

# Each of its servers takes a second port for gRPC, this much higher.
GRPC = 10_000


@dataclass(frozen=True)
class S3:
    """A running server, and the one of its users who may do everything."""

    url: str
    access_key: str = "the-key"
    secret_key: str = "the-secret"


def secret_key(user: str) -> str:
    """The secret key of a user that s3() was given a policy for."""
    return f"planted-key-of-{user}"


def _without_admin(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Without statements on MinIO's admin API: having no resource, they void the policy here."""
    return {**policy, "Statement": [rule for rule in policy["Statement"] if "Resource" in rule]}


def _port() -> int:
    while (port := free_port()) > 65_535 - GRPC:
        pass
    return port


@contextmanager
def s3(
    folder: Path, pair: Pair, policies: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[S3]:
    """Run the server with a certificate for 127.0.0.1.

    policies: further user -> IAM policy, which the server enforces; secret_key() is their key.
    """
    port = _port()
    found = S3(url=f"https://127.0.0.1:{port}")
    (folder / "s3.crt").write_text(pair.certificate)
    (folder / "s3.key").write_text(pair.key)
    keys = {"accessKey": found.access_key, "secretKey": found.secret_key}
    policies = policies or {}
    users = [
        {"name": "all", "credentials": [keys], "actions": ["Admin"]},
        *(
            {
                "name": name,
                "credentials": [{"accessKey": name, "secretKey": secret_key(name)}],
                "policyNames": [name],
            }
            for name in policies
        ),
    ]
    documents = [
        {"name": name, "content": json.dumps(_without_admin(rule))}
        for name, rule in policies.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": users, "policies": documents}))
    data = folder / "s3-data"
    data.mkdir()
    command: list[str | Path] = [
        Path(sys.executable).with_name("weed"),
        "server",
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}"),
        *(f"-{part}.port={_port()}" for part in ("master", "volume", "filer")),
        *("-s3", f"-s3.port={port}", f"-s3.config={folder / 's3.json'}"),
        *(f"-s3.cert.file={folder / 's3.crt'}", f"-s3.key.file={folder / 's3.key'}"),
        *("-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
    ]
    with server(
        command,
        lambda: listens(port),
        folder / "s3.log",
        env=clean_environment(HOME=str(folder)),
        cwd=folder,
        seconds=120,
    ):
        yield found
