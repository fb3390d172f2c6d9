"""Buckets, users and policies of a store that speaks MinIO's API.

What the lab's own inputs ask of terraform-provider-minio, whose files catalogue/types/minio.yaml
names, by the field's library for Python.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED, Filter
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, MinioException, S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, NoncurrentVersionExpiration, Rule
from minio.versioningconfig import SUSPENDED, VersioningConfig

from rehearsal.acts import Act, ActError, file, register
from rehearsal.rules import Step
from rehearsal.rules.stores import BUCKET, LIFECYCLE, POLICY, USER

VERSIONING = "minio:index/s3BucketVersioning:S3BucketVersioning"
ATTACHMENT = "minio:index/iamUserPolicyAttachment:IamUserPolicyAttachment"
TIMEOUT_S = 30


@dataclass(frozen=True, kw_only=True)
class Store:
    """A server: its buckets and objects, and its users and policies."""

    s3: Minio
    admin: MinioAdmin


@contextmanager
def connected(step: Step) -> Iterator[Store]:
    """The server that the provider's options say, as the user that they say."""
    config = step.config
    secure = config.get("minioSsl") in (True, "true")
    region = config.get("minioRegion", "us-east-1")
    user, password = config["minioUser"], config["minioPassword"]
    # A store that has just started answers 503 until it knows its users.
    again = urllib3.Retry(total=5, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504))
    pool = urllib3.PoolManager(
        timeout=TIMEOUT_S, retries=again, ca_certs=file(step, "minioCacertFile")
    )
    common: dict[str, Any] = {"secure": secure, "region": region, "http_client": pool}
    provider = StaticProvider(user, password)
    try:
        yield Store(
            s3=Minio(config["minioServer"], credentials=provider, **common),
            admin=MinioAdmin(endpoint=config["minioServer"], credentials=provider, **common),
        )
    except (MinioException, MinioAdminException, urllib3.exceptions.HTTPError) as error:
        raise ActError(f"{config['minioServer']}: {error}") from None


def _bucket(store: Store, given: Mapping[str, Any]) -> None:
    if (acl := given.get("acl", "private")) != "private":
        raise ActError(f"the bucket {given['bucket']} is {acl!r}: only private ones are made here")
    store.s3.make_bucket(given["bucket"])


def _read_bucket(store: Store, given: Mapping[str, Any]) -> dict[str, Any] | None:
    return dict(given) if store.s3.bucket_exists(given["bucket"]) else None


def _delete_bucket(store: Store, given: Mapping[str, Any]) -> None:
    name = given["bucket"]
    if given.get("forceDestroy"):
        for found in store.s3.list_objects(name, recursive=True, include_version=True):
            store.s3.remove_object(name, str(found.object_name), found.version_id)
    store.s3.remove_bucket(name)


def _versioning(store: Store, given: Mapping[str, Any]) -> None:
    status = given["versioningConfiguration"]["status"]
    store.s3.set_bucket_versioning(given["bucket"], VersioningConfig(status))


def _read_versioning(store: Store, given: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        status = store.s3.get_bucket_versioning(given["bucket"]).status
    except S3Error as error:
        _missing(error, "NoSuchBucket")
        return None
    if not status:
        return None
    wanted = given.get("versioningConfiguration") or {}
    return {**given, "versioningConfiguration": {**wanted, "status": status}}


def _stop_versioning(store: Store, given: Mapping[str, Any]) -> None:
    store.s3.set_bucket_versioning(given["bucket"], VersioningConfig(SUSPENDED))


def _lifecycle(store: Store, given: Mapping[str, Any]) -> None:
    rules = [_rule(rule) for rule in given["rules"]]
    store.s3.set_bucket_lifecycle(given["bucket"], LifecycleConfig(rules))


def _rule(given: Mapping[str, Any]) -> Rule:
    days, old = given.get("expiration"), given.get("noncurrentVersionExpirationDays")
    if days is not None and not str(days).endswith("d"):
        raise ActError(f"the rule {given['id']} expires by {days!r}: local providers know days")
    return Rule(
        ENABLED,
        rule_filter=Filter(prefix=given.get("filter", "")),
        rule_id=given["id"],
        expiration=None if days is None else Expiration(days=int(str(days).removesuffix("d"))),
        noncurrent_version_expiration=None if old is None else NoncurrentVersionExpiration(old),
    )


def _read_lifecycle(store: Store, given: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        found = store.s3.get_bucket_lifecycle(given["bucket"])
    except S3Error as error:
        _missing(error, "NoSuchBucket")
        return None
    if found is None:
        return None
    now = {str(rule.rule_id): _said(rule) for rule in found.rules}
    wanted = {rule["id"]: dict(rule) for rule in given.get("rules") or []}
    same = now == wanted
    return {**given, "rules": given["rules"] if same else [now[name] for name in sorted(now)]}


def _said(rule: Rule) -> dict[str, Any]:
    """A rule as the program writes it."""
    said: dict[str, Any] = {"id": rule.rule_id}
    if rule.rule_filter and rule.rule_filter.prefix:
        said["filter"] = rule.rule_filter.prefix
    if rule.expiration:
        said["expiration"] = f"{rule.expiration.days}d"
    if rule.noncurrent_version_expiration:
        days = rule.noncurrent_version_expiration.noncurrent_days
        said["noncurrentVersionExpirationDays"] = days
    return said


def _stop_lifecycle(store: Store, given: Mapping[str, Any]) -> None:
    store.s3.delete_bucket_lifecycle(given["bucket"])


def _user(store: Store, given: Mapping[str, Any]) -> None:
    """A user that is there gets the new key."""
    store.admin.user_add(given["name"], given["secret"])


def _read_user(store: Store, given: Mapping[str, Any]) -> dict[str, Any] | None:
    return dict(given) if _info(store.admin.user_info, given["name"]) else None


def _delete_user(store: Store, given: Mapping[str, Any]) -> None:
    store.admin.user_remove(given["name"])


def _policy(store: Store, given: Mapping[str, Any]) -> None:
    """A policy that is there is replaced."""
    store.admin.policy_add(given["name"], policy=json.loads(given["policy"]))


def _read_policy(store: Store, given: Mapping[str, Any]) -> dict[str, Any] | None:
    found = _info(store.admin.policy_info, given["name"])
    if found is None:
        return None
    # The server writes one name where there was a list of one, and lists in an order of its own.
    now = found.get("Policy", found)
    same = _canonical(now) == _canonical(json.loads(given["policy"]))
    return {**given, "policy": given["policy"] if same else json.dumps(now, sort_keys=True)}


def _canonical(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {key: _canonical(value) for key, value in part.items() if value not in ("", None)}
    if isinstance(part, list):
        return sorted((_canonical(one) for one in part), key=repr)
    return [part] if isinstance(part, str) else part


def _delete_policy(store: Store, given: Mapping[str, Any]) -> None:
    store.admin.policy_remove(given["name"])


def _attach(store: Store, given: Mapping[str, Any]) -> None:
    held = _attached(store, given) or []
    names = [*held, *({given["policyName"]} - set(held))]
    store.admin.policy_set(",".join(names), user=given["userName"])


def _read_attachment(store: Store, given: Mapping[str, Any]) -> dict[str, Any] | None:
    return dict(given) if given["policyName"] in (_attached(store, given) or ()) else None


def _detach(store: Store, given: Mapping[str, Any]) -> None:
    if given["policyName"] in (_attached(store, given) or ()):
        store.admin.policy_unset(given["policyName"], user=given["userName"])


def _attached(store: Store, given: Mapping[str, Any]) -> list[str] | None:
    found = _info(store.admin.user_info, given["userName"])
    return (
        None if found is None else [name for name in found.get("policyName", "").split(",") if name]
    )


def _info(ask: Callable[[str], str], name: str) -> dict[str, Any] | None:
    """What the server knows of a user or policy; None where there is none."""
    try:
        found: dict[str, Any] = json.loads(ask(name))
    except MinioAdminException as error:
        _missing(error, "XMinioAdminNoSuch")
        return None
    return found


def _missing(error: Exception, code: str) -> None:
    """Raise an error that says anything else than that the thing is missing."""
    if code not in str(error):
        raise error


Does = Callable[[Store, Mapping[str, Any]], Any]


def _act(make: Does, read: Does, delete: Does) -> Act:
    """An act of functions that take a store and the resource's inputs; a change makes it again."""

    def made(step: Step) -> dict[str, Any]:
        with connected(step) as store:
            make(store, step.inputs)
        return {}

    def changed(step: Step) -> dict[str, Any]:
        return {} if step.type == BUCKET else made(step)

    def found(step: Step) -> Any:
        with connected(step) as store:
            return read(store, step.existing.inputs)

    def deleted(step: Step) -> None:
        with connected(step) as store:
            delete(store, step.existing.inputs)

    return Act(create=made, read=found, update=changed, delete=deleted)


register(BUCKET, _act(_bucket, _read_bucket, _delete_bucket))
register(VERSIONING, _act(_versioning, _read_versioning, _stop_versioning))
register(LIFECYCLE, _act(_lifecycle, _read_lifecycle, _stop_lifecycle))
register(USER, _act(_user, _read_user, _delete_user))
register(POLICY, _act(_policy, _read_policy, _delete_policy))
register(ATTACHMENT, _act(_attach, _read_attachment, _detach))
