"""An origin on loopback that a test fills, watches and breaks."""

import contextlib
import email.utils
import hashlib
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

CHUNK = 65_536


@dataclass
class Fault:
    """What an origin does wrong, or unlike others, with one path.

    Each field alone does nothing by default. rate is in bytes a second; cut is how many bytes of
    the body are sent before the connection breaks; length says whether the body's is announced.
    """

    status: int = 0
    location: str = ""
    delay_s: float = 0
    rate: float = 0
    cut: int = -1
    length: bool = True
    ranges: bool = True
    etag: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request that reached the origin, and how many bytes of body went out."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int
    sent: int


class Origin:
    """Files by path; `root` adds a folder. `faults` break paths, "" breaks all others."""

    def __init__(self, root: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.root = root
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Fault] = {}
        self._requests: list[Request] = []
        self._busy = 0
        self._changed = threading.Condition()
        self.types: dict[str, str] = {}
        # What it wants in Authorization, if anything; else it answers 401.
        self.authorization = ""
        # (path, media type) -> what is sent instead of `files[path]` to who accepts that type.
        self.variants: dict[tuple[str, str], bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self._server.request_queue_size = 256
        self._server.daemon_threads = True
        self._server.server_bind()
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._server.origin = self  # type: ignore[attr-defined]
        self.port: int = self._server.server_port
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """What was asked so far. A client may have its answer before its request is noted, so
        this waits for those under way, a moment at most.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._busy == 0, timeout=30)
            return list(self._requests)

    def note(self, change: int, request: Request | None = None) -> None:
        """A request has begun (1) or is done (-1)."""
        with self._changed:
            self._busy += change
            if request is not None:
                self._requests.append(request)
            self._changed.notify_all()

    def read(self, path: str) -> bytes | None:
        """The present content of `path`; None if there is none."""
        if path in self.files:
            return self.files[path]
        if self.root is None:
            return None
        file = self.root / path.lstrip("/")
        try:
            return file.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def sent(self, path: str) -> int:
        """Bytes of body that were sent for `path`."""
        return sum(request.sent for request in self.requests if request.path == path)

    def count(self, path: str) -> int:
        """Requests for `path`."""
        return sum(request.path == path for request in self.requests)

    def start(self) -> None:
        """Answer from now on."""
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on; harmless when it was stopped already."""
        if self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._thread = None


@contextmanager
def origin(root: Path | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Origin]:
    """An origin that answers until the block ends."""
    made = Origin(root, tls)
    made.start()
    try:
        yield made
    finally:
        made.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """Until the cache has gone, which is its right."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: tests look at `requests`."""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        here: Origin = self.server.origin  # type: ignore[attr-defined]
        path = unquote(self.path.partition("?")[0])
        fault = here.faults.get(path) or here.faults.get("") or Fault()
        status = sent = 0
        here.note(1)
        try:
            time.sleep(fault.delay_s)
            if here.authorization in ("", self.headers.get("Authorization")):
                status, content = self._headers(here, path, fault)
            else:
                status, content = self._refusal()
            if body:
                for start in range(0, len(content), CHUNK):
                    piece = content[start : start + CHUNK]
                    if 0 <= fault.cut < sent + len(piece):
                        piece = piece[: fault.cut - sent]
                        self.close_connection = True
                    self.wfile.write(piece)
                    sent += len(piece)
                    if self.close_connection and len(piece) < CHUNK and fault.cut >= 0:
                        break
                    if fault.rate:
                        time.sleep(len(piece) / fault.rate)
        except OSError:
            self.close_connection = True
        finally:
            headers = {name.lower(): value for name, value in self.headers.items()}
            here.note(-1, Request(self.command, path, headers, status, sent))

    def _refusal(self) -> tuple[int, bytes]:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="origin"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return 401, b""

    def _headers(self, here: Origin, path: str, fault: Fault) -> tuple[int, bytes]:
        """Send status and headers; (status, body)."""
        content = here.read(path)
        kind = here.types.get(path, "application/octet-stream")
        for (place, other), variant in here.variants.items():
            if place == path and other in self.headers.get("Accept", ""):
                kind, content = other, variant
        if fault.status or content is None:
            content = fault.headers.get("body", "broken").encode()
            status = fault.status or 404
            self.send_response(status)
            if fault.location:
                self.send_header("Location", fault.location)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            return status, content
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        tag = f'"{digest}"'
        # Another content is another time, as apt asks by time alone.
        changed = email.utils.formatdate(1_700_000_000 + int(digest[:6], 16), usegmt=True)
        wanted = self.headers.get("If-None-Match")
        if fault.etag and wanted is not None and tag in wanted:
            self.send_response(304)
            self.send_header("ETag", tag)
            self.end_headers()
            return 304, b""
        status, total = 200, len(content)
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if span and fault.ranges:
            first = int(span[1])
            last = min(int(span[2] or total - 1), total - 1)
            if first > last:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return 416, b""
            status, content = 206, content[first : last + 1]
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        if fault.etag:
            self.send_header("ETag", tag)
        headers = {
            "Last-Modified": changed,
            "Content-Type": kind,
            **fault.headers,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if fault.length:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.close_connection = True
        self.end_headers()
        return status, content
