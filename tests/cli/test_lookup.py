"""What running servers are asked for the ids that they gave."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cli.lib import lookup
from cli.lib.fault import Fault

LISTS = {
    "/api/v4/groups": [{"id": 3, "path": "datalab"}],
    "/api/v4/groups/3/projects": [{"id": 7, "path": "datalab"}],
    "/api/v4/runners/all": [{"id": 12, "description": "datalab"}],
    "/api/v4/projects/7/pipeline_schedules": [{"id": 5, "description": "drift"}],
    "/api/v4/projects/7/triggers": [{"id": 6, "description": "provision"}],
    "/api/v4/projects/7/access_tokens": [
        {"id": 8, "name": "notes", "revoked": True},
        {"id": 9, "name": "notes", "revoked": False},
    ],
}


@contextmanager
def gitlab(token: str) -> Iterator[str]:
    """GitLab's lists on a port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = LISTS.get(urlsplit(self.path).path)
            right = self.headers.get("PRIVATE-TOKEN") == token
            body = json.dumps(found if right and found else {"message": "no"}).encode()
            self.send_response((200 if found else 404) if right else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("kind", "inputs", "found"),
    [
        ("group:Group", {"path": "datalab"}, "3"),
        ("project:Project", {"namespaceId": 3, "name": "datalab"}, "7"),
        ("userRunner:UserRunner", {"description": "datalab"}, "12"),
        ("pipelineSchedule:PipelineSchedule", {"project": "7", "description": "drift"}, "7:5"),
        ("pipelineTrigger:PipelineTrigger", {"project": "7", "description": "provision"}, "7:6"),
        ("projectAccessToken:ProjectAccessToken", {"project": "7", "name": "notes"}, "7:9"),
        ("userRunner:UserRunner", {"description": "another"}, None),
        ("pipelineTrigger:PipelineTrigger", {"project": "8", "description": "x"}, None),
        ("pipelineTrigger:PipelineTrigger", {"description": "x"}, None),
    ],
)
def test_gitlab(kind: str, inputs: dict[str, Any], found: str | None) -> None:
    with gitlab("planted") as url:
        provider = {"baseUrl": f"{url}/api/v4/", "token": "planted"}
        assert lookup.find(f"gitlab:index/{kind}", inputs, provider) == found


@pytest.mark.parametrize("token", ["wrong", "planted"])
def test_gitlab_that_does_not_answer_is_a_fault(token: str) -> None:
    with gitlab("planted") as url:
        base = url if token == "wrong" else "http://127.0.0.1:9"
        with pytest.raises(Fault, match="GitLab") as raised:
            lookup.find(
                "gitlab:index/userRunner:UserRunner",
                {"description": "datalab"},
                {"baseUrl": base, "token": token},
            )
    assert token not in str(raised.value)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that knows one container, `kafka`, and keeps its arguments and certificates."""
    command = tmp_path / "docker"
    command.write_text(
        "#!/bin/sh\n"
        f"echo \"$DOCKER_HOST $@\" > '{tmp_path}/call'\n"
        f'[ -n "$DOCKER_CERT_PATH" ] && cat "$DOCKER_CERT_PATH"/*.pem > \'{tmp_path}/pem\'\n'
        "case \"$5\" in kafka) echo 0123abcd ;; broken) echo 'Cannot connect' >&2; exit 1 ;;\n"
        '*) echo "Error: No such container: $5" >&2; exit 1 ;; esac\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path), os.environ["PATH"])))
    return tmp_path


def test_docker(docker: Path) -> None:
    kind = "docker:index/container:Container"
    provider = {
        "host": "tcp://docker:2376",
        "caMaterial": "ca\n",
        "certMaterial": "cert\n",
        "keyMaterial": "planted-key\n",
    }
    assert lookup.find(kind, {"name": "kafka"}, provider) == "0123abcd"
    call = (docker / "call").read_text()
    assert call.strip() == "tcp://docker:2376 container inspect --format {{.Id}} kafka"
    assert (docker / "pem").read_text() == "ca\ncert\nplanted-key\n"
    assert lookup.find(kind, {"name": "mlflow"}, {}) is None
    with pytest.raises(Fault, match="Cannot connect"):
        lookup.find(kind, {"name": "broken"}, {})


def test_docker_command_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Fault, match=r"docker\.io"):
        lookup.find("docker:index/network:Network", {"name": "datalab"}, {})
