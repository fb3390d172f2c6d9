"""The start page in a real browser."""

import re
import ssl
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jinja2
import pytest

from layers.services.gateway import FILES
from tests.harness.browser import browse
from tests.harness.certificates import Authority
from tests.harness.web import serving

pytestmark = pytest.mark.service

TILES = '[...document.querySelectorAll("a.tile")]'
EACH_IS_KNOWN = f"{TILES}.every(tile => tile.dataset.state)"
# The page's own numbers, for the test to read from its source.
MEASURED = """(document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth,
document.body.dataset.ink = getComputedStyle(document.body).color, %s)"""
# What the gateway says of each: test_gateway.py has a real one say it.
STATUS = {"up": 200, "login": 401, "starting": 503, "down": 504, "untrusted": 200}
STATES = {**{name: name for name in STATUS}, "login": "up"}


class Server(BaseHTTPRequestHandler):
    """The gateway, and every service behind it."""

    page = ""

    def do_HEAD(self) -> None:
        self.answer(STATUS.get(self.path.rpartition("/")[2], 200))

    def do_GET(self) -> None:
        self.answer(200, self.page.encode() if self.path == "/" else b"")

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def own_certificate(folder: Path) -> ssl.SSLContext:
    """Of a CA that no browser knows."""
    pair = Authority().server("lab")
    (folder / "own.crt").write_text(pair.certificate)
    (folder / "own.key").write_text(pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.crt", folder / "own.key")
    return context


@pytest.mark.parametrize(("width", "dark"), [(0, False), (360, True)])
def test_each_tile_shows_how_its_service_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, dark: bool
) -> None:
    template = jinja2.Template((FILES / "start.html.j2").read_text())
    with serving(Server) as port, serving(Server, own_certificate(tmp_path)) as secure:
        urls = {name: f"http://127.0.0.1:{port}/{name}" for name in STATUS}
        urls["untrusted"] = f"https://127.0.0.1:{secure}/{'very-' * 20}long"
        links = [
            {"name": name, "label": name.title(), "url": url, "page": "/", "version": "1.2.3",
             "login": True}
            for name, url in urls.items()
        ]  # fmt: skip
        bare = {"name": "bus", "label": "Bus", "url": "kafka://bus:9092", "page": ""}
        page = template.render(domain="lab.home.arpa", links=[*links, bare])
        monkeypatch.setattr(Server, "page", page)
        until = MEASURED % EACH_IS_KNOWN
        seen, complaints = browse(
            f"http://127.0.0.1:{port}", tmp_path, until, width=width, dark=dark
        )
    tiles = re.findall(r'data-name="(\w+)" data-state="(\w+)"', seen)
    assert dict(tiles) == STATES
    assert complaints == []
    assert 'data-wide="false"' in seen, "it has to be scrolled sideways"
    ink = re.search(r'data-ink="rgb\((\d+)', seen)
    assert ink
    assert (int(ink[1]) > 128) == dark
    hint = re.search(r'<p id="untrusted"( hidden="")?>', seen)
    assert hint
    assert not hint[1], "it says what to do where a certificate is not trusted"
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
