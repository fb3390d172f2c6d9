"""MinIO-class stores, Vault and PostgreSQL. Sources: rehearsal/refusals.yaml."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rehearsal.reach import listens
from rehearsal.refusals import RefusedError
from rehearsal.rules import Step, check, outputs, rule

BUCKET = "minio:index/s3Bucket:S3Bucket"
USER = "minio:index/iamUser:IamUser"
POLICY = "minio:index/iamPolicy:IamPolicy"
LIFECYCLE = "minio:index/ilmPolicy:IlmPolicy"
MOUNT = "vault:index/mount:Mount"
JWT = "vault:jwt/authBackend:AuthBackend"
JWT_ROLE = "vault:jwt/authBackendRole:AuthBackendRole"
SECRET = "vault:kv/secretV2:SecretV2"  # noqa: S105 - a type
CONNECTION = "vault:database/secretBackendConnection:SecretBackendConnection"
ROLE = "postgresql:index/role:Role"
DATABASE = "postgresql:index/database:Database"

ARN = re.compile(r"arn:aws:s3:::\S+")


@rule(BUCKET, USER, POLICY)
def connection_is_encrypted(step: Step) -> None:
    """The lab's store speaks TLS alone, which the provider does only where it is told to."""
    if "minioServer" in step.config and step.config.get("minioSsl") not in (True, "true"):
        raise RefusedError("minio-plain")


@rule(POLICY)
def policy_is_valid(step: Step) -> None:
    for statement in json.loads(step.inputs["policy"]).get("Statement", []):
        actions = statement.get("Action") or []
        resources = statement.get("Resource") or []
        for resource in [resources] if isinstance(resources, str) else resources:
            if not ARN.fullmatch(resource):
                raise RefusedError("minio-policy-arn", resource=resource)
        if not resources and any(str(action).startswith("s3:") for action in actions):
            raise RefusedError("minio-policy-resource")


@check(LIFECYCLE)
def rules_do_something(inputs: Mapping[str, Any]) -> None:
    for rule_ in inputs.get("rules") or []:
        if isinstance(rule_, dict) and not rule_.keys() - {"id", "filter", "status", "tags"}:
            raise RefusedError("minio-lifecycle", at="rules", id=rule_.get("id"))


def _path(values: Mapping[str, Any], default: str = "") -> str:
    return str(values.get("path") or values.get("type") or default).strip("/")


@rule(MOUNT, JWT, on=("create",))
def mount_is_apart(step: Step) -> None:
    """A path inside or around another mount's is refused like the same one."""
    family = (step.type,)
    mine = _path(step.inputs, "jwt") + "/"
    for other in step.others(*family):
        theirs = _path(other.inputs, "jwt") + "/"
        if mine.startswith(theirs) or theirs.startswith(mine):
            raise RefusedError("vault-path-taken", id=theirs)


@rule(SECRET, CONNECTION)
def mount_is_there(step: Step) -> None:
    mount = str(step.inputs.get("mount") or step.inputs.get("backend")).strip("/")
    if not any(_path(other.inputs) == mount for other in step.others(MOUNT)):
        raise RefusedError("vault-no-handler", path=step.inputs.get("name"), mount=mount)


@rule(JWT)
def keys_can_be_fetched(step: Step) -> None:
    """Vault asks for them at once, unless it is to learn them from elsewhere."""
    url = step.inputs.get("jwksUrl") or step.inputs.get("oidcDiscoveryUrl")
    if url is None:
        return
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not listens(step.world, parts.hostname or "", port):
        raise RefusedError("vault-jwks", url=url)


@rule(JWT_ROLE)
def login_is_bound(step: Step) -> None:
    backend = step.inputs.get("backend", "jwt")
    if not any(_path(other.inputs, "jwt") == backend for other in step.others(JWT)):
        raise RefusedError("vault-no-handler", path="login", mount=f"auth/{backend}")
    bounds = ("boundAudiences", "boundSubject", "boundClaims", "tokenBoundCidrs")
    if not any(step.inputs.get(bound) for bound in bounds):
        raise RefusedError("vault-role-unbound")


@outputs(MOUNT, JWT)
def mount_outputs(step: Step) -> dict[str, Any]:
    kind = "".join(filter(str.isalnum, str(step.inputs.get("type", "jwt"))))
    accessor = {} if step.old else {"accessor": f"auth_{kind}_{step.world.next_serial():08x}"}
    return {"path": _path(step.inputs, "jwt"), **accessor}


@rule(DATABASE, on=("create", "update", "delete"))
def connections_are_enough(step: Step) -> None:
    limit = int(step.config.get("maxConnections", 20))
    if limit == 1 and not step.world.facts.in_luck:  # half of all runs end well
        raise RefusedError("postgresql-pool", limit=limit)


@rule(ROLE)
def member_of_what_is_there(step: Step) -> None:
    known = {other.get("name") for other in step.others(ROLE)}
    for role in step.inputs.get("roles") or []:
        if role not in known and not role.startswith("pg_"):  # those every server has
            raise RefusedError("postgresql-role-unknown", value=role)


@rule(ROLE, on=("update",))
def memberships_can_be_rewritten(step: Step) -> None:
    """Whatever an update changes, the provider revokes all memberships and grants those it knows.

    A role that makes others got the membership in each, and passes it on (CREATE ROLE gives it WITH
    ADMIN since PostgreSQL 16): provisioning and Vault do so between one `up` and the next. Run in
    tests/provision/test_rotation.py.
    """
    if step.existing.inputs.get("createRole"):
        raise RefusedError("postgresql-memberships", name=step.existing.get("name"))
