"""What the writer answers over HTTP: to the model server, to health checks and to people."""

import json
import logging
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .batch import Partition
from .state import State
from .topics import Topics, TopicsError

LOG = logging.getLogger("lake_writer")
NAME = "datalab-lake-writer"
NOT_FOUND = 404, {"error": "GET /health, POST /flush, POST /maintain"}
WAIT_S, LONGEST_WAIT_S = 30.0, 600.0


class Answers:
    """What each request gets: a status, and a JSON document or nothing."""

    def __init__(self, state: State, topics: Topics):
        self._state = state
        self._topics = topics

    def health(self) -> tuple[int, Any]:
        """How it is; 200 while it waits too, as a restart would help nobody."""
        with self._state.changed:
            state, totals = self._state, self._state.totals
            since = None if state.last_commit is None else time.time() - state.last_commit
            return 200, {
                "name": NAME,
                "status": "waiting" if state.problems else "ok",
                "problems": sorted(state.problems.values()),
                "lag": self._lag(),
                "last_commit": {
                    "seconds_ago": None if since is None else round(since, 1),
                    "rows": state.last_rows,
                },
                "since": state.began,
                **vars(totals),
            }

    def _lag(self) -> dict[str, int]:
        """Topic -> messages that the lake has not got yet, as far as it is known."""
        lag: dict[str, int] = {}
        for at, safe in self._state.safe.items():
            behind = max(0, self._topics.last_end(at) - safe)
            lag[at.topic] = lag.get(at.topic, 0) + behind
        return lag

    def flush(self, seconds: float) -> tuple[int, Any]:
        """Put into the lake what Kafka has now: 204 once it is there, 504 with the lag."""
        end = time.monotonic() + seconds
        try:
            targets = self._topics.ends(self._topics.describe())
        except TopicsError as error:
            with self._state.changed:
                return 504, {"error": str(error), "lag": self._lag()}
        with self._state.changed:
            self._want(targets)
            if self._settled(lambda: self._state.is_safe(targets), end):
                return 204, None
            problems = "; ".join(sorted(self._state.problems.values()))
            said = problems or f"not in the lake within {seconds:g} s"
            return 504, {"error": said, "lag": self._lag()}

    def _want(self, targets: dict[Partition, int]) -> None:
        for at, offset in targets.items():
            self._state.wanted[at] = max(offset, self._state.wanted.get(at, 0))
        self._state.changed.notify_all()

    def maintain(self, seconds: float) -> tuple[int, Any]:
        """Take care of the lake's files now: 200 with what was done, 504 while it goes on."""
        end = time.monotonic() + seconds
        with self._state.changed:
            self._state.maintenance += 1
            mine = self._state.maintenance
            self._state.changed.notify_all()
            if self._settled(lambda: self._state.maintained >= mine, end):
                return 200, dict(self._state.maintenance_result)
            return 504, {"error": f"not done within {seconds:g} s; it goes on"}

    def _settled(self, done: Callable[[], bool], end: float) -> bool:
        """Wait until it is done, that time has come or the writer stops; whether it is done."""
        state = self._state
        state.changed.wait_for(lambda: done() or state.stopping, end - time.monotonic())
        return done()


def serve(answers: Answers, port: int) -> ThreadingHTTPServer:
    """The server, which the caller runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            if urlsplit(self.path).path == "/health":
                self._answer(*answers.health())
            else:
                self._answer(*NOT_FOUND)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = urlsplit(self.path)
            calls = {"/flush": answers.flush, "/maintain": answers.maintain}
            if asked.path not in calls:
                self._answer(*NOT_FOUND)
                return
            try:
                seconds = float(parse_qs(asked.query).get("timeout", [str(WAIT_S)])[0])
            except ValueError:
                seconds = -1
            if not 0 <= seconds <= LONGEST_WAIT_S:
                self._answer(422, {"error": f"timeout: 0 to {LONGEST_WAIT_S:g} seconds"})
                return
            self._answer(*calls[asked.path](seconds))

        def _answer(self, status: int, body: Any) -> None:
            text = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            if text:
                self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            LOG.debug(format, *args)

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    return server
