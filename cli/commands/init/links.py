"""Where a package index has its files: the hosts that its documents link to."""

import json
from html.parser import HTMLParser
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import httpx

from cli.lib import http
from cli.lib.fault import Fault
from settings.foundation.cache import LINKING

TIMEOUT_S = 10


class _Links(HTMLParser):
    """The targets of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if name == "href" and value]


def file_hosts(kind: str, url: str) -> list[str]:
    """Origins, other than its own, that the documents of the index at `url` link to.

    Asks for one well-known document; Fault if it cannot be had.
    """
    if kind not in LINKING:
        raise ValueError(f"{kind} has no links")
    page = f"{url.rstrip('/')}/{'pip/' if kind == 'pypi' else 'npm'}"
    accept = "text/html" if kind == "pypi" else "application/vnd.npm.install-v1+json"
    text = _text(page, accept)
    if kind == "pypi":
        parser = _Links()
        parser.feed(text)
        targets = parser.targets
    else:
        versions = json.loads(text or "{}").get("versions", {})
        targets = [version["dist"]["tarball"] for version in versions.values()]
    parts = [urlsplit(urljoin(page, target)) for target in targets]
    origins = {f"{part.scheme}://{part.netloc}" for part in parts}
    own = urlsplit(url)
    return sorted(origins - {f"{own.scheme}://{own.netloc}"})


def _text(page: str, accept: str) -> str:
    """A document of the index; empty where it does not have it."""
    try:
        with http.client(timeout=TIMEOUT_S, follow_redirects=True) as client:
            answer = client.get(page, headers={"Accept": accept})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Fault(f"{page} does not answer ({http.reason(error)})") from None
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return ""
    if answer.is_error:
        raise Fault(f"{page} answers {answer.status_code} {answer.reason_phrase}")
    return answer.content.decode(errors="replace")
