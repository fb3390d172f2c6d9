"""Container images through pull-through registries behind the cache."""

import base64
import hashlib
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from layers.foundation.cache import login
from tests.cache.running import PASSWORD, Running, get, running, settings, site
from tests.harness.process import clean_environment, free_port, listens, server

pytestmark = pytest.mark.service


@contextmanager
def _registry(folder: Path, remote: str = "", **variables: str) -> Iterator[str]:
    """A registry of Debian's package, of its own or in front of `remote`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    proxy = f"proxy: {{remoteurl: {remote}}}\n" if remote else ""
    (folder / "config.yml").write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n{proxy}"
    )
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    environment = clean_environment(**variables)
    with server(command, lambda: listens(port), folder / "log", env=environment):
        yield f"http://127.0.0.1:{port}"


def _image(folder: Path) -> Path:
    """An image of one file, as an OCI layout."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    layer = buffer.getvalue()
    prefix = "application/vnd.oci.image"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{prefix}.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), f"{prefix}.config.v1+json"),
        "layers": [blob(layer, f"{prefix}.layer.v1.tar")],
    }
    index = {
        "schemaVersion": 2,
        "manifests": [blob(json.dumps(manifest).encode(), f"{prefix}.manifest.v1+json")],
    }
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def _skopeo(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["skopeo", "--insecure-policy", *words],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _pull(cache: Running, image: str, target: Path) -> subprocess.CompletedProcess[str]:
    source = f"docker://127.0.0.1:{cache.site.port}/{image}"
    return _skopeo("copy", "--src-tls-verify=false", source, f"dir:{target}")


def test_pull_and_again_without_an_origin(tmp_path: Path) -> None:
    """Docker Hub's images with and without its name, another registry's with its own."""
    image = _image(tmp_path / "image")
    names = ("library/tiny:1", "docker.io/library/tiny:1", "other.example/library/tiny:1")
    with ExitStack() as stack, ExitStack() as origins:
        remotes = {
            name: origins.enter_context(_registry(tmp_path / name)) for name in ("hub", "other")
        }
        for remote in remotes.values():
            target = f"docker://{remote.removeprefix('http://')}/library/tiny:1"
            done = _skopeo("copy", "--dest-tls-verify=false", f"oci:{image}", target)
            assert done.returncode == 0, done.stderr
        proxies = {
            name: stack.enter_context(_registry(tmp_path / f"{name}-proxy", remote))
            for name, remote in remotes.items()
        }
        registries = {"hub": "docker.io", "other": "other.example"}
        cache = settings(
            **{
                name: {"kind": "oci", "url": remotes[name], "registry": registry}
                for name, registry in registries.items()
            }
        )
        started = stack.enter_context(running(cache, tmp_path, site(tmp_path, registries=proxies)))
        for number, name in enumerate(names):
            done = _pull(started, name, tmp_path / f"pulled-{number}")
            assert done.returncode == 0, done.stderr
        assert _pull(started, "stranger.example/library/tiny:1", tmp_path / "no").returncode != 0
        upload = f"{started.url}/v2/docker.io/library/tiny/blobs/uploads/"
        assert get(upload, "POST").status == 405
        origins.close()
        for number, name in enumerate(names):
            done = _pull(started, name, tmp_path / f"again-{number}")
            assert done.returncode == 0, done.stderr


class _Tokens(BaseHTTPRequestHandler):
    """A registry that wants a token, and a login for it, as Docker Hub does."""

    logins: ClassVar[list[str | None]] = []

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        given, host = self.headers.get("Authorization"), self.headers["Host"]
        status, body = 200, b'{"token": "pass"}'
        if self.path.startswith("/token"):
            self.logins.append(given)
        else:
            status, body = (404 if given == "Bearer pass" else 401), b"{}"
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", f'Bearer realm="http://{host}/token",service="x"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")

    do_HEAD = do_GET


def test_a_registry_logs_in_as_the_settings_say(tmp_path: Path) -> None:
    """By the container's own variables, whose text distribution reads as YAML."""
    remote = ThreadingHTTPServer(("127.0.0.1", 0), _Tokens)
    thread = threading.Thread(target=remote.serve_forever, args=(0.05,))
    thread.start()
    url = f"http://127.0.0.1:{remote.server_port}"
    try:
        with _registry(tmp_path, url, **login("someone", PASSWORD)) as proxy:
            assert get(f"{proxy}/v2/library/tiny/manifests/1").status == 404
    finally:
        remote.shutdown()
        remote.server_close()
        thread.join()
    word = base64.b64encode(f"someone:{PASSWORD}".encode()).decode()
    assert set(_Tokens.logins) == {f"Basic {word}"}
