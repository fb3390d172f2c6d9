"""npm installs through the cache: from a registry that a test writes, and from verdaccio."""

import base64
import hashlib
import io
import json
import os
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.cache.conftest import Start
from tests.cache.origin import Origin
from tests.cache.origin import origin as make_origin
from tests.cache.running import Running
from tests.harness.node import NODE, tool
from tests.harness.process import clean_environment, free_port, listens, server

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


def _install(cache: Running, folder: Path, name: str, path: str = "/npm/api/npm/") -> None:
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    registry = f"{cache.url}{path}"
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


@pytest.fixture
def verdaccio(tmp_path: Path) -> Iterator[str]:
    """A real registry, where everybody may publish."""
    port, folder = free_port(), tmp_path / "verdaccio"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        f"storage: {folder}/storage\n"
        f"auth: {{htpasswd: {{file: {folder}/users, max_users: 1}}}}\n"
        "packages: {'**': {access: $all, publish: $authenticated}}\n"
    )
    node = clean_environment(HOME=str(folder), PATH=f"{NODE}:{os.environ['PATH']}")
    command: list[str | Path] = [
        tool("verdaccio"),
        "--config",
        folder / "config.yaml",
        "--listen",
        str(port),
    ]
    with server(command, lambda: listens(port), folder / "log", env=node):
        url = f"http://127.0.0.1:{port}"
        user = {"name": "tester", "password": secrets.token_hex(8)}
        made = requests.put(f"{url}/-/user/org.couchdb.user:tester", json=user, timeout=30)
        made.raise_for_status()
        (folder / "npmrc").write_text(f"//127.0.0.1:{port}/:_authToken={made.json()['token']}\n")
        for name, needs in (("leaf", {}), ("@scope/tree", {"leaf": "^1.0.0"})):
            package = folder / name
            package.mkdir(parents=True)
            manifest = {"name": name, "version": "1.0.0", "dependencies": needs}
            (package / "package.json").write_text(json.dumps(manifest))
            subprocess.run(
                ["npm", "publish", "--access=public", f"--registry={url}"],
                cwd=package,
                env=clean_environment(NPM_CONFIG_USERCONFIG=str(folder / "npmrc")),
                check=True,
                timeout=120,
            )
        yield url


def test_verdaccios_packages_come_through_the_cache(
    tmp_path: Path, start: Start, verdaccio: str
) -> None:
    cache = start(npm={"kind": "npm", "url": verdaccio})
    _install(cache, tmp_path / "one", "@scope/tree", path="/npm/")
    assert (tmp_path / "one/node_modules/leaf/package.json").exists()
