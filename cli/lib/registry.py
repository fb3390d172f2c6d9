"""Asks container registries for manifests, by their own API (distribution's docs, spec/api)."""

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


def request_manifest(
    client: httpx.Client, method: str, url: str, login: tuple[str, str] | None = None
) -> httpx.Response:
    """The answer about a manifest, asked again with a pull token where the registry wants one.

    Without a login the token is anonymous; Fault where there is none to be had.
    """
    headers = {"Accept": MANIFESTS}
    answer = client.request(method, url, headers=headers)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        headers["Authorization"] = f"Bearer {_token(client, answer, login)}"
        answer = client.request(method, url, headers=headers)
    return answer


def _token(client: httpx.Client, refusal: httpx.Response, login: tuple[str, str] | None) -> str:
    """A pull token, from where the registry's refusal points."""
    challenge = refusal.headers.get("WWW-Authenticate", "")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not challenge.startswith("Bearer") or "realm" not in fields:
        raise Fault("the registry asks for a login")
    params = {name: fields[name] for name in ("service", "scope") if name in fields}
    given = client.get(fields["realm"], params=params, auth=login).raise_for_status().json()
    return str(given.get("token") or given.get("access_token"))
