"""Asks container registries for manifests, by their own API (distribution's docs, spec/api)."""

import hashlib
import re
from http import HTTPStatus

import httpx

from cli.lib.fault import Fault

# An index of platforms comes before one platform's manifest: the digest must fit any machine.
MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "docker.distribution.manifest.list.v2",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.v2",
    )
)


def digest(client: httpx.Client, url: str, login: tuple[str, str] | None = None) -> str | None:
    """The digest of the manifest at `url`, checked against what is there; None for none.

    Without a login the token that a registry may want is anonymous; Fault where it gives none.
    """
    headers = {"Accept": MANIFESTS}
    answer = client.get(url, headers=headers)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        headers["Authorization"] = f"Bearer {_token(client, answer, login)}"
        answer = client.get(url, headers=headers)
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return None
    answer.raise_for_status()
    found = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    told = answer.headers.get("Docker-Content-Digest", found)
    if told != found:
        raise Fault(f"{answer.url.host} says {told}, but what it sent is {found}")
    return found


def _token(client: httpx.Client, refusal: httpx.Response, login: tuple[str, str] | None) -> str:
    """A pull token, from where the registry's refusal points."""
    challenge = refusal.headers.get("WWW-Authenticate", "")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not challenge.startswith("Bearer") or "realm" not in fields:
        raise Fault("the registry asks for a login")
    params = {name: fields[name] for name in ("service", "scope") if name in fields}
    given = client.get(fields["realm"], params=params, auth=login).raise_for_status().json()
    return str(given.get("token") or given.get("access_token"))
