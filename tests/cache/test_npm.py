"""npm installs through the cache."""

import base64
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.conftest import Start
from tests.cache.origin import Origin
from tests.cache.origin import origin as make_origin
from tests.cache.running import Running
from tests.harness.process import clean_environment

pytestmark = pytest.mark.service


@pytest.fixture
def files() -> Iterator[Origin]:
    """Another host, for the tarballs."""
    with make_origin() as made:
        yield made


@pytest.fixture
def cache(start: Start, origin: Origin, files: Origin) -> Running:
    """A cache of a registry below a path, as a company's often is."""
    return start(npm={"kind": "npm", "url": f"{origin.url}/api/npm", "files": [files.url]})


def _add(registry: Origin, files: Origin, name: str, version: str, **needs: str) -> None:
    """Publish a package with its tarball on `files`."""
    manifest = {"name": name, "version": version, "dependencies": needs}
    text = json.dumps(manifest).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    path = f"/api/npm/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
    files.files[path] = buffer.getvalue()
    digest = base64.b64encode(hashlib.sha512(buffer.getvalue()).digest()).decode()
    dist = {"tarball": f"{files.url}{path}", "integrity": f"sha512-{digest}"}
    document = f"/api/npm/{name}"
    registry.types[document] = "application/json"
    registry.files[document] = json.dumps(
        {
            "name": name,
            "dist-tags": {"latest": version},
            "versions": {version: {**manifest, "dist": dist}},
        }
    ).encode()


def _install(cache: Running, folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    registry = f"{cache.url}/npm/api/npm/"
    done = subprocess.run(
        ["npm", "install", name, "--registry", registry, "--cache", str(folder / ".cache")],
        cwd=folder,
        env=clean_environment(NPM_CONFIG_USERCONFIG="/dev/null", NPM_CONFIG_AUDIT="false"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{cache.url}/npm/" in (folder / "package-lock.json").read_text()


@pytest.mark.parametrize("same_host", [True, False])
def test_everything_comes_through_the_cache(
    tmp_path: Path, cache: Running, origin: Origin, files: Origin, same_host: bool
) -> None:
    tarballs = origin if same_host else files
    _add(origin, tarballs, "leaf", "1.0.0")
    _add(origin, tarballs, "@scope/tree", "2.0.0", leaf="^1.0.0")
    _install(cache, tmp_path / "one", "@scope/tree")
    assert {request.headers["user-agent"] for request in origin.requests} == {"datalab-cache"}
    origin.stop()
    files.stop()
    _install(cache, tmp_path / "two", "@scope/tree")
    assert (tmp_path / "two/node_modules/leaf/package.json").exists()


def test_short_and_long_documents_are_kept_apart(
    cache: Running, origin: Origin, files: Origin
) -> None:
    _add(origin, files, "leaf", "1.0.0")
    short = "application/vnd.npm.install-v1+json"
    origin.variants["/api/npm/leaf", short] = b'{"name":"leaf"}'
    path = "/npm/api/npm/leaf"
    assert cache.get(path, Accept=f"{short}; q=1.0, application/json; q=0.8").body == (
        b'{"name":"leaf"}'
    )
    assert b"versions" in cache.get(path, Accept="application/json").body


def test_each_client_is_led_to_the_name_that_it_uses(
    cache: Running, origin: Origin, files: Origin
) -> None:
    _add(origin, files, "leaf", "1.0.0")
    for host in ("cache.lab.home.arpa:8480", "localhost:8480"):
        answer = cache.get("/npm/api/npm/leaf", Host=host)
        assert f'"tarball": "http://{host}/npm/~127.0.0.1_'.encode() in answer.body
