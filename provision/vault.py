"""Vault as this CLI uses it: a login with the job's ID token, and the KV v2 records.

Layout of the mount `kv` (docs/ci.md): `projects/<project id>/...` is what one project may read,
`projects/<project id>/requests/<id>` what it may write; `shared/` every project may read;
`infra/` is the lab's own.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hvac
import requests
from hvac import exceptions
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from provision.faults import Fault, Invalid, Refused

MOUNT = "kv"
AUTH_PATH = "jwt-gitlab"
Record = dict[str, str]


class Vault:
    """A session. `address` and `ca` (a PEM file, or the system's trust) are as Vault's own CLI has
    them; `role` is the JWT role to log in with, unless VAULT_TOKEN is there already.
    """

    def __init__(self, role: str) -> None:
        address = os.environ.get("VAULT_ADDR", "")
        if not re.match(r"https?://", address):
            raise Invalid(
                "VAULT_ADDR: the address of Vault, such as https://vault.lab.home.arpa:8200"
            )
        self._address = address
        session = requests.Session()
        # A proxy or bundle of the job's environment is not meant for the lab's own Vault.
        session.trust_env = False
        session.verify = os.environ.get("VAULT_CACERT") or True
        # 503 is a sealed Vault: right after its restart it unseals within seconds.
        retry = Retry(
            5,
            backoff_factor=0.3,
            status_forcelist=(429, 502, 503),
            allowed_methods=None,
            raise_on_status=False,  # hvac tells them apart
        )
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        self._client = hvac.Client(url=address, session=session, verify=session.verify)
        self._role = role
        self.login()

    def login(self) -> None:
        """Log in, or again: a login may have expired while the lab worked."""
        token, job = os.environ.get("VAULT_TOKEN"), os.environ.get("VAULT_ID_TOKEN")
        if token:
            self._client.token = token
        elif job:
            # A token of another GitLab or with other claims is a bad request to Vault.
            with self._explained(f"login with role {self._role}", exceptions.InvalidRequest):
                answer = self._client.auth.jwt.jwt_login(self._role, job, path=AUTH_PATH)
                self._client.token = _data(answer)["auth"]["client_token"]
        else:
            raise Invalid(
                "VAULT_ID_TOKEN: missing; the job needs id_tokens: {VAULT_ID_TOKEN: {aud: datalab}}"
            )

    @contextmanager
    def _explained(self, action: str, *refusals: type[Exception]) -> Iterator[None]:
        refused: tuple[type[Exception], ...] = (exceptions.Forbidden, *refusals)
        try:
            yield
        except refused as error:
            raise Refused(f"Vault forbids: {action}: {_line(error)}") from error
        except exceptions.VaultDown as error:
            remedy = "who administers the lab can unseal it"
            raise Fault(f"Vault at {self._address} is sealed: {action}; {remedy}") from error
        except (KeyError, TypeError) as error:
            raise Fault(
                f"what answers at {self._address} is not Vault: {action}; is VAULT_ADDR right?"
            ) from error
        except (exceptions.VaultError, requests.RequestException) as error:
            raise Fault(f"Vault at {self._address} failed: {action}: {_line(error)}") from error

    def read(self, path: str) -> Record | None:
        """The newest version of a KV record; None where there is none."""
        with self._explained(f"read {path}"):
            try:
                answer = self._client.secrets.kv.v2.read_secret_version(
                    path, mount_point=MOUNT, raise_on_deleted_version=True
                )
            except exceptions.InvalidPath:
                return None
            record = _data(_data(answer)["data"]["data"])
        return {name: str(value) for name, value in record.items()}

    def require(self, path: str) -> Record:
        """As `read`, but a missing record is a Fault that names it."""
        record = self.read(path)
        if record is None:
            raise Fault(
                f"Vault has no record {MOUNT}/{path}; the lab's services layer writes it, unless "
                "the lab has switched that service off"
            )
        return record

    def write(self, path: str, record: Mapping[str, str]) -> None:
        """Make `record` the newest version, unless it is that already."""
        if self.read(path) == dict(record):
            return
        with self._explained(f"write {path}"):
            _data(
                self._client.secrets.kv.v2.create_or_update_secret(
                    path, dict(record), mount_point=MOUNT
                )
            )

    def create(self, path: str, record: Mapping[str, str]) -> Record:
        """The record at `path`, which is `record` if there was none: of many writers one wins."""
        existing = self.read(path)
        if existing is not None:
            return existing
        with self._explained(f"create {path}"):
            try:
                self._client.secrets.kv.v2.create_or_update_secret(
                    path, dict(record), cas=0, mount_point=MOUNT
                )
            except exceptions.InvalidRequest as error:
                if "check-and-set" not in str(error):
                    raise
        return self.require(path)

    def expire(self, path: str, after: str) -> None:
        """Let what is written at `path` from now on go by itself, `after` such as 24h."""
        with self._explained(f"set an end to {path}"):
            self._client.secrets.kv.v2.update_metadata(
                path, delete_version_after=after, mount_point=MOUNT
            )

    def delete(self, path: str) -> None:
        """Remove the record with all its versions. The login may have expired by now."""
        self.login()
        with self._explained(f"delete {path}"):
            self._client.secrets.kv.v2.delete_metadata_and_all_versions(path, mount_point=MOUNT)

    def read_raw(self, path: str) -> Record:
        """What a secrets engine other than KV answers, such as `database/creds/<role>`."""
        with self._explained(f"read {path}"):
            answer = self._client.read(path)
            if answer is None:
                raise Fault(f"Vault has nothing at {path}")
            return {name: str(value) for name, value in _data(answer)["data"].items()}

    def write_raw(self, path: str, data: Mapping[str, object]) -> None:
        """Write to a secrets engine other than KV."""
        with self._explained(f"write {path}"):
            answer = self._client.write_data(path, data=dict(data))
            if (
                isinstance(answer, requests.Response)
                and answer.status_code != requests.codes.no_content
            ):
                _data(answer)


def _data(answer: object) -> dict[str, Any]:
    """An answer of Vault's; TypeError where it is none: hvac hands on what it cannot read."""
    if not isinstance(answer, dict):
        raise TypeError(type(answer).__name__)
    return answer


def _line(error: Exception) -> str:
    """The first line of a reason: an answer of a proxy can be a page."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
