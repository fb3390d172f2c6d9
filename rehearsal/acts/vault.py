"""Mounts, policies, endpoints and records of a Vault or OpenBao server.

What terraform-provider-vault does with the lab's own inputs. Read: vault/resource_mount.go and
resource_generic_endpoint.go (their first versions); policies and records go by Vault's API.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hvac
import requests
from hvac.exceptions import InvalidPath, InvalidRequest, VaultError

from rehearsal.acts import Act, ActError, file, register
from rehearsal.rules import Step
from rehearsal.rules.stores import MOUNT, SECRET

POLICY = "vault:index/policy:Policy"
ENDPOINT = "vault:generic/endpoint:Endpoint"
# How long a new key-value store may take to become one with versions.
UPGRADE_S = 30
KV = "kv-v2"


@contextmanager
def connected(step: Step) -> Iterator[hvac.Client]:
    """A client that logged in as the provider's options say; its token ends with it."""
    config = step.config
    given = config["authLoginUserpass"]
    login = json.loads(given) if isinstance(given, str) else given
    client = hvac.Client(url=config["address"], verify=file(step, "caCertFile") or True)
    try:
        client.auth.userpass.login(login["username"], login["password"])
        try:
            yield client
        finally:
            client.auth.token.revoke_self()
    except (VaultError, requests.RequestException) as error:
        raise ActError(f"{config['address']}: {error}") from None


def _mount(client: hvac.Client, given: Mapping[str, Any]) -> None:
    path = given["path"].strip("/")
    wanted = {"type": given["type"], "description": given.get("description", "")}
    wanted |= {"options": given["options"]} if given.get("options") else {}
    client.write_data(f"sys/mounts/{path}", data=wanted)
    end = time.monotonic() + UPGRADE_S
    while given["type"] == KV:  # it takes nothing before it is one
        try:
            client.read(f"{path}/config")
            return
        except InvalidRequest:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _tune(client: hvac.Client, given: Mapping[str, Any]) -> None:
    tuned = {"description": given.get("description", "")}
    client.write_data(f"sys/mounts/{given['path'].strip('/')}/tune", data=tuned)


def _read_mount(client: hvac.Client, given: Mapping[str, Any]) -> dict[str, Any] | None:
    mounts = _found(client, "sys/mounts")["data"]
    found = mounts.get(f"{given['path'].strip('/')}/")
    if found is None:
        return None
    versioned = found["type"] == "kv" and (found.get("options") or {}).get("version") == "2"
    type_ = KV if versioned and given.get("type") == KV else found["type"]
    said = found.get("description") or ""
    now = {"description": said} if said or "description" in given else {}
    return {**given, "type": type_, **now}


def _unmount(client: hvac.Client, given: Mapping[str, Any]) -> None:
    client.delete(f"sys/mounts/{given['path'].strip('/')}")


def _policy(client: hvac.Client, given: Mapping[str, Any]) -> None:
    client.write_data(f"sys/policies/acl/{given['name']}", data={"policy": given["policy"]})


def _read_policy(client: hvac.Client, given: Mapping[str, Any]) -> dict[str, Any] | None:
    found = _found(client, f"sys/policies/acl/{given['name']}")
    return None if found is None else {**given, "policy": found["data"]["policy"]}


def _delete_policy(client: hvac.Client, given: Mapping[str, Any]) -> None:
    client.delete(f"sys/policies/acl/{given['name']}")


def _endpoint(client: hvac.Client, given: Mapping[str, Any]) -> None:
    client.write_data(given["path"], data=json.loads(given["dataJson"]))


def _read_endpoint(client: hvac.Client, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was written, where it is there: the fields that are given must be what they were."""
    if given.get("disableRead"):
        return dict(given)
    found = _found(client, given["path"])
    if found is None:
        return None
    wanted = json.loads(given["dataJson"])
    there = {key: found["data"].get(key) for key in wanted if key in found["data"]}
    now = {**wanted, **there} if given.get("ignoreAbsentFields") else there
    same = now == wanted
    return {**given, "dataJson": given["dataJson"] if same else json.dumps(now, sort_keys=True)}


def _delete_endpoint(client: hvac.Client, given: Mapping[str, Any]) -> None:
    if not given.get("disableDelete"):
        client.delete(given["path"])


def _record(client: hvac.Client, given: Mapping[str, Any]) -> None:
    data = {"data": json.loads(given["dataJson"])}
    client.write_data(f"{given['mount']}/data/{given['name']}", data=data)


def _read_record(client: hvac.Client, given: Mapping[str, Any]) -> dict[str, Any] | None:
    found = _found(client, f"{given['mount']}/data/{given['name']}")
    if found is None or found["data"]["data"] is None:
        return None
    now = found["data"]["data"]
    same = now == json.loads(given["dataJson"])
    return {**given, "dataJson": given["dataJson"] if same else json.dumps(now, sort_keys=True)}


def _delete_record(client: hvac.Client, given: Mapping[str, Any]) -> None:
    part = "metadata" if given.get("deleteAllVersions") else "data"
    client.delete(f"{given['mount']}/{part}/{given['name']}")


def _found(client: hvac.Client, path: str) -> Any:
    """What is at a path; None where nothing is."""
    try:
        return client.read(path)
    except InvalidPath:
        return None


Does = Callable[[hvac.Client, Mapping[str, Any]], Any]


def _act(create: Does, read: Does, update: Does, delete: Does) -> Act:
    """An act of functions that take a client and the resource's inputs."""

    def created(step: Step) -> dict[str, Any]:
        with connected(step) as client:
            create(client, step.inputs)
        return {}

    def updated(step: Step) -> dict[str, Any]:
        if step.existing.inputs.get("path") != step.inputs.get("path"):
            raise ActError("a mount keeps its path here: the identities may not move one")
        with connected(step) as client:
            update(client, step.inputs)
        return {}

    def found(step: Step) -> Any:
        with connected(step) as client:
            return read(client, step.existing.inputs)

    def deleted(step: Step) -> None:
        with connected(step) as client:
            delete(client, step.existing.inputs)

    return Act(create=created, read=found, update=updated, delete=deleted)


register(MOUNT, _act(_mount, _read_mount, _tune, _unmount))
register(POLICY, _act(_policy, _read_policy, _policy, _delete_policy))
register(ENDPOINT, _act(_endpoint, _read_endpoint, _endpoint, _delete_endpoint))
register(SECRET, _act(_record, _read_record, _record, _delete_record))
