"""A stand-in for Ollama's API: tags, and pulls whose stream a test writes."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

PULL: list[dict[str, Any]] = [
    {"status": "pulling manifest"},
    {"status": "pulling 0123", "total": 100, "completed": 40},
    {"status": "pulling 0123", "total": 100, "completed": 100},
    {"status": "verifying sha256 digest"},
    {"status": "success"},
]


@dataclass
class Ollama:
    """State: what is there, what was pulled, and the streams of the next pulls.

    A stream's event may be {"wait": seconds}, or {"cut": true}, which closes the connection.
    """

    url: str = ""
    models: set[str] = field(default_factory=set)
    pulls: list[str] = field(default_factory=list)
    streams: list[list[dict[str, Any]]] = field(default_factory=list)
    lie: bool = False  # claims success without keeping the model

    def keep(self, model: str) -> None:
        """Have the model; one whose name differs in case only is the same."""
        if model.lower() not in {name.lower() for name in self.models}:
            self.models.add(model)


def shown(name: str) -> str:
    """`name` as Ollama's list has it: without the defaults of host and namespace."""
    *front, model = name.split("/")
    host = front[0] if len(front) == 2 else "registry.ollama.ai"
    namespace = front[-1] if front else "library"
    if host.lower() != "registry.ollama.ai":
        return f"{host}/{namespace}/{model}"
    return model if namespace.lower() == "library" else f"{namespace}/{model}"


@contextmanager
def ollama() -> Iterator[Ollama]:
    """Serve an `Ollama` on the loopback interface."""
    fake = Ollama()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {
                "/api/version": {"version": "0.12.3"},
                "/api/tags": {"models": [{"name": shown(name)} for name in sorted(fake.models)]},
            }
            found = answers.get(self.path)
            self._send(200 if found else 404, found or {"error": "not found"})

        def do_POST(self) -> None:
            body: dict[str, str] = json.loads(
                self.rfile.read(int(cast(str, self.headers["Content-Length"])))
            )
            if self.path != "/api/pull":
                self._send(404, {"error": "not found"})
                return
            fake.pulls.append(body["model"])
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.end_headers()
            stream = fake.streams.pop(0) if fake.streams else PULL
            for event in stream:
                if "cut" in event:
                    return
                if "wait" in event:
                    time.sleep(event["wait"])
                    continue
                if event.get("status") == "success" and not fake.lie:
                    # Before it is said, as Ollama does: who reads it asks for the list at once.
                    fake.keep(body["model"])
                self.wfile.write(json.dumps(event).encode() + b"\n")
                self.wfile.flush()

        def _send(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{web.server_port}"
    threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield fake
    finally:
        web.shutdown()
        web.server_close()
