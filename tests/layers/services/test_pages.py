"""The start page in a real browser."""

import re
import sys
from pathlib import Path

import jinja2
import pytest

from layers.services.gateway import FILES
from tests.harness.browser import browse
from tests.harness.process import free_port, listens, server

pytestmark = pytest.mark.service

EACH_IS_KNOWN = '[...document.querySelectorAll("a")].every(link => link.dataset.state)'


def test_each_link_shows_whether_it_answers(tmp_path: Path) -> None:
    port, nobody = free_port(), free_port()
    links = [
        {"label": "Here", "url": f"http://127.0.0.1:{port}/", "page": True},
        {"label": "Gone", "url": f"http://127.0.0.1:{nobody}/", "page": True},
    ]
    pages = tmp_path / "pages"
    pages.mkdir()
    page = jinja2.Template((FILES / "start.html.j2").read_text())
    (pages / "index.html").write_text(page.render(domain="lab.test", links=links))
    serve = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with server(serve, lambda: listens(port), tmp_path / "log", cwd=pages):
        seen, complaints = browse(f"http://127.0.0.1:{port}", tmp_path, EACH_IS_KNOWN)
    states = dict(re.findall(r'<a href="([^"]+)"[^>]*data-state="(\w+)"', seen))
    assert states == {links[0]["url"]: "up", links[1]["url"]: "down"}
    assert complaints == []
