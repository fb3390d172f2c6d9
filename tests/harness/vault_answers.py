"""A server in Vault's place that answers what a test says: what clients make of a fault."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

RECORD = {"DB_HOST": "h", "DB_PORT": "1", "DB_NAME": "d", "DB_USER": "u", "DB_PASS": "of-the-test"}
TOKEN = "hvb.the-jobs-own-login"


@dataclass
class Server:
    """Answers as a test says; a login and a record where it says nothing."""

    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    address: str = ""

    def answer(self, path: str) -> tuple[int, str]:
        if path.startswith("/v1/sys/health"):
            return self.answers.get("health", (200, "{}"))
        if path.endswith("/login"):
            return self.answers.get("login", (200, f'{{"auth":{{"client_token":"{TOKEN}"}}}}'))
        return self.answers.get(
            "read", (200, json.dumps({"data": {"data": RECORD}}, separators=(",", ":")))
        )


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server of Vault's three paths."""
    made = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.seen.append(f"{self.path} {self.headers.get('X-Vault-Token')}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = made.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # http.server's own name

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        port = server.server_address[1]
        made.address = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        server.shutdown()
