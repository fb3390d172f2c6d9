"""Doors in front of a test's servers, which can be shut: connections are cut, writes refused."""

import socket
import socketserver
import ssl
import threading
from contextlib import AbstractContextManager, closing, suppress
from http.client import HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WRITES = ("PUT", "POST", "DELETE")
# Of one connection, which a proxy must not pass on.
HOP = {"connection", "transfer-encoding", "keep-alive"}


class Gate:
    """A port that leads to another one while it is open."""

    def __init__(self, target: int):
        self._target = target
        self._open = True
        self._live: set[socket.socket] = set()
        gate = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                gate.pass_on(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def pass_on(self, inside: socket.socket) -> None:
        """Both ways until one end leaves."""
        if not self._open:
            return
        with socket.create_connection(("127.0.0.1", self._target)) as outside:
            pair = (inside, outside)
            self._live |= set(pair)
            back = threading.Thread(target=_copy, args=(outside, inside), daemon=True)
            back.start()
            _copy(inside, outside)
            back.join()
            self._live -= set(pair)

    def shut(self) -> None:
        """Cut what there is, and let nobody in."""
        self._open = False
        for end in list(self._live):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let everybody in again."""
        self._open = True

    def close(self) -> None:
        """End it."""
        self.shut()
        self._server.shutdown()
        self._server.server_close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def gate(target: int) -> AbstractContextManager[Gate]:
    """A gate before a port of this machine."""
    return closing(Gate(target))


class StoreFront:
    """Plain HTTP before an S3 server's HTTPS; `refuses` is the status that writes get, or 0."""

    def __init__(self, target: int):
        self.refuses = 0
        self.refused = 0
        front = self
        # The test's own server on this machine.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if front.refuses and self.command in WRITES:
                    front.refused += 1
                    self.reply(front.refuses, {}, b"<Error><Code>Refused</Code></Error>")
                    return
                # The signature is over the host that the client asked.
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
                server = HTTPSConnection("127.0.0.1", target, timeout=60, context=context)
                try:
                    server.request(self.command, self.path, body or None, headers)
                    found = server.getresponse()
                    self.reply(found.status, dict(found.getheaders()), found.read())
                except (OSError, HTTPException):
                    self.close_connection = True
                finally:
                    server.close()

            def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in {*HOP, "content-length", "date", "server"}:
                        self.send_header(name, value)
                length = headers.get("Content-Length") if self.command == "HEAD" else len(body)
                self.send_header("Content-Length", str(length or 0))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


def store_front(target: int) -> AbstractContextManager[StoreFront]:
    """A front before an S3 server's port."""
    return closing(StoreFront(target))
