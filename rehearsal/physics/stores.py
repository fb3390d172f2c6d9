"""MinIO-class stores, Vault and PostgreSQL. Sources: rehearsal/refusals.yaml."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rehearsal.physics import Step, check, outputs, rule
from rehearsal.reach import listens
from rehearsal.refusals import RefusedError
from rehearsal.wire import Unknown

BUCKET = "minio:index/s3Bucket:S3Bucket"
USER = "minio:index/iamUser:IamUser"
POLICY = "minio:index/iamPolicy:IamPolicy"
LIFECYCLE = "minio:index/ilmPolicy:IlmPolicy"
MOUNT = "vault:index/mount:Mount"
JWT = "vault:jwt/authBackend:AuthBackend"
JWT_ROLE = "vault:jwt/authBackendRole:AuthBackendRole"
VAULT_POLICY = "vault:index/policy:Policy"
SECRET = "vault:kv/secretV2:SecretV2"  # noqa: S105 - a type
ENDPOINT = "vault:generic/endpoint:Endpoint"
CONNECTION = "vault:database/secretBackendConnection:SecretBackendConnection"
ROLE = "postgresql:index/role:Role"
DATABASE = "postgresql:index/database:Database"
GRANT = "postgresql:index/grant:Grant"

# minio-go s3utils.CheckValidBucketName, without the reserved names.
BUCKET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
ADDRESS = re.compile(r"(\d+\.){3}\d+")
ARN = re.compile(r"arn:aws:s3:::\S+")
EXPIRATION = re.compile(r"[1-9]\d*d|\d{4}-\d\d-\d\d|DeleteMarker")
PRIVILEGES = frozenset(
    {"ALL", "CONNECT", "CREATE", "DELETE", "EXECUTE", "INSERT", "MAINTAIN", "REFERENCES", "SELECT"}
    | {"SET", "TEMP", "TEMPORARY", "TRIGGER", "TRUNCATE", "UPDATE", "USAGE"}
)


@rule(BUCKET, on=("create",))
def bucket_name_is_valid(step: Step) -> None:
    name = str(step.inputs.get("bucket"))
    wrong = ".." in name or ".-" in name or "-." in name or ADDRESS.fullmatch(name)
    if wrong or not BUCKET_NAME.fullmatch(name):
        raise RefusedError("minio-bucket-name", bucket=name)


@rule(USER)
def secret_key_is_long_enough(step: Step) -> None:
    if not 8 <= len(str(step.inputs.get("secret", "x" * 8))) <= 40:
        raise RefusedError("minio-secret-key", user=step.inputs.get("name"))


@check(POLICY)
def policy_is_json(inputs: Mapping[str, Any]) -> None:
    text = inputs.get("policy")
    if isinstance(text, str):
        try:
            if isinstance(json.loads(text), dict):
                return
        except ValueError:
            pass
        raise RefusedError("minio-policy-json", at="policy")


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
        given = rule_.get("expiration") if isinstance(rule_, dict) else None
        if isinstance(given, str) and not EXPIRATION.fullmatch(given):
            raise RefusedError("minio-expiration", at="rules")


@outputs(BUCKET)
def bucket_outputs(step: Step) -> dict[str, Any]:
    name = step.inputs["bucket"]
    server = step.config.get("minioServer", "")
    return {"arn": f"arn:aws:s3:::{name}", "bucketDomainName": f"https://{server}/minio/{name}"}


@outputs(USER)
def user_outputs(step: Step) -> dict[str, Any]:
    return {"status": "disabled" if step.inputs.get("disableUser") else "enabled"}


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


@rule(VAULT_POLICY)
def policy_says_something(step: Step) -> None:
    if not str(step.inputs["policy"]).strip():
        raise RefusedError("vault-policy-empty")


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


@check(SECRET, ENDPOINT)
def data_is_json(inputs: Mapping[str, Any]) -> None:
    text = inputs.get("dataJson")
    if isinstance(text, str):
        try:
            json.loads(text)
        except ValueError:
            raise RefusedError("vault-json", at="dataJson") from None


@outputs(MOUNT, JWT)
def mount_outputs(step: Step) -> dict[str, Any]:
    kind = "".join(filter(str.isalnum, str(step.inputs.get("type", "jwt"))))
    accessor = {} if step.old else {"accessor": f"auth_{kind}_{step.world.next_serial():08x}"}
    return {"path": _path(step.inputs, "jwt"), **accessor}


@outputs(SECRET)
def secret_outputs(step: Step) -> dict[str, Any]:
    path = f"{step.inputs['mount']}/data/{step.inputs.get('name')}"
    return {"path": path, "metadata": {"version": str(step.world.next_serial())}}


@check(ROLE)
def valid_until_is_a_date(inputs: Mapping[str, Any]) -> None:
    limit = inputs.get("connectionLimit", -1)
    if isinstance(limit, Unknown) or limit >= -1:
        return
    raise RefusedError("postgresql-limit", at="connectionLimit")


@rule(DATABASE, on=("create", "update", "delete"))
def connections_are_enough(step: Step) -> None:
    limit = int(step.config.get("maxConnections", 20))
    if limit == 1:
        raise RefusedError("postgresql-pool", limit=limit)


@rule(GRANT)
def privileges_exist(step: Step) -> None:
    for privilege in step.inputs.get("privileges") or []:
        if privilege.upper() not in PRIVILEGES:
            raise RefusedError("postgresql-privilege", privilege=privilege)


@rule(ROLE)
def member_of_what_is_there(step: Step) -> None:
    known = {other.get("name") for other in step.others(ROLE)}
    for role in step.inputs.get("roles") or []:
        if role not in known and not role.startswith("pg_"):  # those every server has
            raise RefusedError("postgresql-role-unknown", value=role)
