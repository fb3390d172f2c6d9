"""pip and uv install wheels through the cache, from an index on one host and files on another."""

import hashlib
import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.conftest import Start
from tests.cache.origin import Origin
from tests.cache.origin import origin as make_origin
from tests.cache.running import Running
from tests.harness.process import clean_environment
from tests.harness.wheel import file_name, pack

pytestmark = pytest.mark.service

JSON = "application/vnd.pypi.simple.v1+json"
UV = Path(sys.executable).with_name("uv")


class Index:
    """An index whose pages link to `files`: whole, from the root, or relative."""

    def __init__(self, pages: Origin, files: Origin, style: str) -> None:
        self.pages, self.files, self.style = pages, files, style

    def add(self, name: str, version: str, requires: str = "") -> bytes:
        """Publish a wheel."""
        wheel = pack(name, version, requires)
        path = f"/packages/{name}/{file_name(name, version)}"
        at = self.files if self.style == "whole" else self.pages
        at.files[path] = wheel
        url = {"whole": f"{self.files.url}{path}", "root": path, "relative": f"../..{path}"}
        digest = hashlib.sha256(wheel).hexdigest()
        file = path.rpartition("/")[2]
        page = f"/simple/{name}/"
        self.pages.files[page] = (
            f'<!DOCTYPE html><html><body><a href="{url[self.style]}#sha256={digest}">{file}</a>'
            "</body></html>"
        ).encode()
        self.pages.types[page] = "text/html"
        self.pages.variants[page, JSON] = json.dumps(
            {
                "meta": {"api-version": "1.0"},
                "name": name,
                "files": [{"filename": file, "url": url[self.style], "hashes": {"sha256": digest}}],
            }
        ).encode()
        return wheel


@pytest.fixture
def files() -> Iterator[Origin]:
    """The host of the files."""
    with make_origin() as made:
        yield made


@pytest.fixture(params=["whole", "root", "relative"])
def index(request: pytest.FixtureRequest, origin: Origin, files: Origin) -> Index:
    """An index of two packages, one of which needs the other."""
    made = Index(origin, files, request.param)
    made.add("leaf", "1.0")
    made.add("tree", "2.0", "leaf>=1")
    return made


@pytest.fixture
def cache(start: Start, origin: Origin, files: Origin) -> Running:
    """A cache of the index."""
    return start(pypi={"kind": "pypi", "url": f"{origin.url}/simple/", "files": [files.url]})


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without packages, with pip."""
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def _install(tool: str, python: Path, cache: Running, target: Path) -> str:
    """Install `tree` and what it needs to `target`; what the tool said."""
    url = f"{cache.url}/pypi/simple/"
    command = {
        "pip": [python, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check"],
        "uv": [UV, "pip", "install", "--python", python, "--no-cache"],
    }[tool]
    done = subprocess.run(
        [*map(str, command), "--index-url", url, "--target", str(target), "tree"],
        env={
            name: value
            for name, value in clean_environment(UV_NO_CONFIG="1").items()
            if not name.startswith("PIP_")
        }
        | {"PIP_CONFIG_FILE": "/dev/null"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (target / "tree.py").exists()
    assert (target / "leaf.py").exists()
    return done.stdout + done.stderr


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_everything_comes_through_the_cache(
    tool: str, python: Path, cache: Running, index: Index, tmp_path: Path
) -> None:
    _install(tool, python, cache, tmp_path / "one")
    agents = {request.headers["user-agent"] for request in index.pages.requests}
    agents |= {request.headers["user-agent"] for request in index.files.requests}
    assert agents == {"datalab-cache"}
    index.pages.stop()
    index.files.stop()
    _install(tool, python, cache, tmp_path / "two")


def test_both_forms_of_a_page_are_kept_apart(cache: Running, origin: Origin, files: Origin) -> None:
    Index(origin, files, "whole").add("leaf", "1.0")
    page = "/pypi/simple/leaf/"
    for accept in (f"{JSON}, text/html;q=0.1", "text/html"):
        for status in ("MISS", "HIT"):
            answer = cache.get(page, Accept=accept)
            assert (answer.cache, answer.body.startswith(b"{")) == (status, JSON in accept)
            assert b"/pypi/~127.0.0.1_" in answer.body
            assert files.url.encode() not in answer.body


def test_a_page_that_a_client_has_is_not_sent_again(
    cache: Running, origin: Origin, files: Origin
) -> None:
    Index(origin, files, "whole").add("leaf", "1.0")
    first = cache.get("/pypi/simple/leaf/")
    again = cache.get("/pypi/simple/leaf/", If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
