"""A small stand-in for GitLab: REST API, ID tokens, and pipelines that a test decides on.

Requests to, and answers of, the paths in tests/fixtures/gitlab-openapi.json are checked against it,
requests of CI that it does not have against gitlab-requests.yaml next to it. Faults are made by
`GitLab.faults`.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema
import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from jsonschema import Draft4Validator, validators
from jwt.algorithms import RSAAlgorithm

from tests.harness.inputs import InputError, check_inputs

Json = Any
Answer = tuple[int, Json]
FIXTURES = Path(__file__).parents[1] / "fixtures"
OPENAPI, REQUESTS = FIXTURES / "gitlab-openapi.json", FIXTURES / "gitlab-requests.yaml"
PER_PAGE = 20
ME = {"id": 1, "username": "root"}  # whose the tokens are


@dataclass
class Pipeline:
    """A pipeline: each look at it moves `statuses` on, until the last one, which stays."""

    id: int
    inputs: dict[str, Any]
    statuses: list[str]
    jobs: list[dict[str, Any]] = field(default_factory=list)

    def look(self) -> str:
        """The present status."""
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@dataclass
class GitLab:
    """The stand-in's state. `on_trigger` decides what a new pipeline comes to."""

    url: str = ""
    project_id: int = 1
    path: str = "datalab/datalab"
    pipeline_inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # token -> scope
    trigger_token: str = field(default_factory=lambda: f"glptt-{uuid.uuid4().hex}")
    on_trigger: Callable[[Pipeline], None] = lambda pipeline: None
    # The next API answers, such as 500; a text is a page, as a proxy's log-in is; None is no fault.
    faults: list[int | str | None] = field(default_factory=list)
    pipelines: dict[int, Pipeline] = field(default_factory=dict)
    merge_requests: dict[int, dict[str, Any]] = field(default_factory=dict)
    notes: dict[int, dict[int, dict[str, Any]]] = field(default_factory=dict)
    issues: dict[int, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    packages: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, Json]] = field(default_factory=list)
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def id_token(self, project_id: int, **claims: str) -> str:
        """The ID token of a job, signed by this GitLab; all claims are strings, as GitLab's are."""
        now = int(time.time())
        payload = {
            "iss": self.url,
            "aud": "datalab",
            "iat": now,
            "nbf": now - 5,
            "exp": now + 3600,
            "jti": uuid.uuid4().hex,
            "project_id": str(project_id),
            "ref": "main",
            "ref_type": "branch",
            "ref_protected": "true",
            "pipeline_source": "push",
            **claims,
        }
        payload["sub"] = f"project_path:p{project_id}:ref_type:branch:ref:{payload['ref']}"
        return jwt.encode(payload, self.key, "RS256", headers={"kid": "test"})

    def routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        """(method, path pattern, function of match, query and body)."""
        home = rf"/api/v4/projects/(?:{self.project_id}|{re.escape(self.path)})"
        merge_request = rf"{home}/merge_requests/(\d+)"
        return [
            ("POST", rf"{home}/trigger/pipeline", self._trigger),
            ("GET", rf"{home}/pipelines/(\d+)", self._pipeline),
            ("GET", rf"{home}/pipelines/(\d+)/jobs", self._jobs),
            ("GET", rf"{home}/jobs/(\d+)/trace", self._trace),
            ("GET", rf"{home}/merge_requests", self._merge_requests),
            ("GET", rf"{merge_request}", self._merge_request),
            ("GET", rf"{merge_request}/notes", self._list_notes),
            ("POST", rf"{merge_request}/notes", self._add_note),
            ("PUT", rf"{merge_request}/notes/(\d+)", self._change_note),
            ("GET", rf"{home}/issues", self._list_issues),
            ("POST", rf"{home}/issues", self._add_issue),
            ("PUT", rf"{home}/issues/(\d+)", self._change_issue),
            ("PUT", rf"{home}/packages/generic/(.+)", self._put_package),
            ("GET", rf"{home}/packages/generic/(.+)", self._get_package),
            (
                "GET",
                r"/api/v4/user",
                lambda match, query, body: (200, ME),
            ),
            ("PUT", home, self._change_project),
        ]

    def _trigger(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        if body.get("token") != self.trigger_token:
            return 404, {"message": "404 Not Found"}
        if body.get("variables"):
            # ci_pipeline_variables_minimum_override_role: no_one_allowed
            return 400, {
                "message": {"base": ["Insufficient permissions to set pipeline variables"]}
            }
        try:
            inputs = check_inputs(self.pipeline_inputs, body.get("inputs", {}))
        except InputError as error:
            return 400, {"message": {"base": [str(error)]}}
        number = len(self.pipelines) + 1
        pipeline = self.pipelines[number] = Pipeline(number, inputs, ["created"])
        self.on_trigger(pipeline)
        return 201, self._shown(pipeline, "created")

    def _shown(self, pipeline: Pipeline, status: str) -> Json:
        url = f"{self.url}/{self.path}/-/pipelines/{pipeline.id}"
        return {"id": pipeline.id, "status": status, "ref": "main", "web_url": url}

    def _pipeline(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        pipeline = self.pipelines.get(int(match[1]))
        if pipeline is None:
            return 404, {"message": "404 Not found"}
        return 200, self._shown(pipeline, pipeline.look())

    def _jobs(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        hidden = ("trace",)
        return 200, [
            {name: value for name, value in job.items() if name not in hidden}
            for job in self.pipelines[int(match[1])].jobs
        ]

    def _trace(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        for pipeline in self.pipelines.values():
            for job in pipeline.jobs:
                if job["id"] == int(match[1]) and job["trace"] is not None:
                    return 200, job["trace"]
        return 404, {"message": "404 Not found"}

    def _merge_requests(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        return 200, [
            request
            for request in self.merge_requests.values()
            if query.get("state", "all") in ("all", request["state"])
        ]

    def _merge_request(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        return 200, self.merge_requests[int(match[1])]

    def _list_notes(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        return 200, list(self.notes.get(int(match[1]), {}).values())

    def _add_note(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        notes = self.notes.setdefault(int(match[1]), {})
        number = 100 + len(notes)
        notes[number] = {"id": number, "body": body["body"], "system": False, "author": ME}
        return 201, notes[number]

    def _change_note(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        self.notes[int(match[1])][int(match[2])]["body"] = body["body"]
        return 200, self.notes[int(match[1])][int(match[2])]

    def _list_issues(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        wanted = set(filter(None, query.get("labels", "").split(",")))
        return 200, [
            issue
            for issue in self.issues.values()
            if query.get("state", "all") in ("all", issue["state"])
            and wanted <= set(issue["labels"])
            and query.get("author_id", str(issue["author"]["id"])) == str(issue["author"]["id"])
        ]

    def _add_issue(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        number = len(self.issues) + 1
        labels = body.get("labels", [])
        labels = labels.split(",") if isinstance(labels, str) else labels
        self.issues[number] = {
            "id": number,
            "iid": number,
            "project_id": self.project_id,
            "state": "opened",
            "author": ME,
            **body,
            "labels": labels,
        }
        return 201, self.issues[number]

    def _change_issue(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        issue = self.issues[int(match[1])]
        event = body.pop("state_event", None)
        issue.update(body)
        if event:
            issue["state"] = {"close": "closed", "reopen": "opened"}[event]
        return 200, issue

    def _put_package(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        self.packages[match[1]] = body
        return 201, {"message": "201 Created"}

    def _get_package(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        if match[1] not in self.packages:
            return 404, {"message": "404 Not Found"}
        return 200, self.packages[match[1]]

    def _change_project(self, match: re.Match[str], query: Json, body: Json) -> Answer:
        self.settings.update(body)
        return 200, {"id": self.project_id, **self.settings}

    def answer(self, method: str, target: str, headers: Any, raw: bytes) -> Answer:
        """Answer one request: discovery for anybody, the API after authentication."""
        parts = urlsplit(target)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query))
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.url, "jwks_uri": f"{self.url}/oauth/discovery/keys"}
        if path == "/oauth/discovery/keys":
            key = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
            return 200, {"keys": [{**key, "kid": "test", "use": "sig", "alg": "RS256"}]}
        body: Json = raw
        if "json" in headers.get("Content-Type", ""):
            body = json.loads(raw or b"{}")
        self.requests.append((method, path, body))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, str):
            return 200, fault.encode()
        if fault is not None:
            return fault, {"message": "made by the test"}
        return self._refused(method, path, headers) or self._routed(
            method, parts.path, path, query, body
        )

    def _refused(self, method: str, path: str, headers: Any) -> Answer | None:
        given = headers.get("PRIVATE-TOKEN") or headers.get("JOB-TOKEN") or ""
        given = given or headers.get("Authorization", "").removeprefix("Bearer ")
        if path.endswith("/trigger/pipeline") and not given:
            return None  # the token of its body counts
        scope = self.tokens.get(given)
        if scope is None:
            return 401, {"message": "401 Unauthorized"}
        if method != "GET" and scope == "read_api":
            return 403, {"error": "insufficient_scope"}
        return None

    def _routed(self, method: str, raw_path: str, path: str, query: Json, body: Json) -> Answer:
        for wanted, pattern, function in self.routes():
            match = re.fullmatch(pattern, path)
            if match and wanted == method:
                check_request(method, raw_path, body)
                status, found = function(match, query, body)
                _check_answer(method, raw_path, status, found)
                return status, found
        return 404, {"error": "404 Not Found"}


@cache
def _openapi() -> Json:
    found: Json = json.loads(OPENAPI.read_text())
    for path, bodies in yaml.safe_load(REQUESTS.read_text()).items():
        assert path not in found["paths"], f"GitLab's own description has {path}"
        found["paths"][path] = {
            method: {"parameters": [{"in": "body", "schema": schema}]}
            for method, schema in bodies.items()
        }
    return found


def _operation(method: str, path: str) -> Json:
    for pattern, methods in _openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", pattern), path):
            return methods.get(method.lower())
    return None


def _check(value: Json, schema: Json) -> None:
    # Swagger 2.0 has a type that JSON Schema has not; nobody sends a file here.
    kinds = Draft4Validator.TYPE_CHECKER.redefine("file", lambda checker, instance: False)
    validator = validators.extend(Draft4Validator, type_checker=kinds)  # type: ignore[no-untyped-call]
    validator({**schema, "definitions": _openapi()["definitions"]}).validate(value)


def check_request(method: str, path: str, body: Json) -> None:
    """ValidationError where GitLab's OpenAPI description does not allow the body."""
    operation = _operation(method, path) or {}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "body":
            _check(body, parameter["schema"])


def _check_answer(method: str, path: str, status: int, body: Json) -> None:
    operation = _operation(method, path) or {}
    schema = operation.get("responses", {}).get(str(status), {}).get("schema")
    if schema:
        _check(body, schema)


@contextmanager
def gitlab(**state: Any) -> Iterator[GitLab]:
    """Serve a `GitLab` on the loopback interface."""
    fake = GitLab(**state)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, body = fake.answer(self.command, self.path, self.headers, raw)
            except (jsonschema.ValidationError, KeyError) as error:
                status, body = 400, {"message": f"the stand-in refuses: {error}"}
            extra = {}
            if isinstance(body, list):
                query = dict(parse_qsl(urlsplit(self.path).query))
                page, size = int(query.get("page", 1)), int(query.get("per_page", PER_PAGE))
                more = len(body) > page * size
                extra = {"X-Page": str(page), "X-Next-Page": str(page + 1) if more else ""}
                if more:
                    split = urlsplit(self.path)
                    rest = "&".join(f"{k}={v}" for k, v in {**query, "page": str(page + 1)}.items())
                    extra["Link"] = f'<{fake.url}{split.path}?{rest}>; rel="next"'
                body = body[(page - 1) * size : page * size]
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            for name, value in extra.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

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
