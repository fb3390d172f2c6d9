"""The gateway's configuration against a golden file, and against a real nginx."""

import http.client
import json
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import jinja2
import pytest

from layers.services.gateway import FILES, FOLDER, configuration, start_page
from settings import images
from settings.images import PATH
from settings.names import endpoints
from tests.harness.certificates import Authority
from tests.harness.deploy import settings_of
from tests.harness.process import clean_environment, free_port, listens, server
from tests.harness.web import serving
from tests.layers.containers import container, files, published, world

GOLDEN = Path(__file__).parent / "golden"
DOMAIN = "lab.home.arpa"
AWAY = "model-server"  # its name is asked of a DNS server that never answers


def text(variant: str, path: str) -> str:
    content: str = files(container(world(variant)["services"], "gateway"))[path]["content"]
    return content


@pytest.mark.parametrize("variant", ["dev", "lab"])
def test_golden(variant: str) -> None:
    expected = GOLDEN / variant / "gateway.conf"
    found = text(variant, "/etc/nginx/nginx.conf")
    assert found == expected.read_text(), f"differs from {expected}"


def test_every_page_that_people_call_by_a_name_is_on_the_start_page() -> None:
    for variant in ("dev", "dev with GitLab", "lab"):
        page = text(variant, f"{FOLDER}/pages/index.html")
        present = endpoints(world(variant)["services"].settings)
        named = {name for name, endpoint in present.items() if endpoint.label}
        assert len(named) >= 8
        assert page.count("data-name=") == len(named) - 1
        for name in named - {"gateway"}:
            link = f'href="{present[name].url}" data-name="{name}">\n      <b>'
            assert f"{link}{present[name].label}</b>" in page, name


def test_it_says_versions_of_others_images_alone() -> None:
    """With the lab's own, each change of theirs would replace the gateway."""
    for environment in ("dev", "lab"):
        settings = settings_of(environment)
        found = {link["name"]: link["version"] for link in start_page(settings)["links"]}
        tag = images.catalogue().images["portainer"].tag
        assert (found["portainer"], found["mlflow"], found["web"]) == (tag, "", "")


def test_the_gateway_asks_machines_by_address_and_containers_by_name() -> None:
    found = {
        environment: {state["name"]: state for state in configuration(settings)["states"]}
        for environment in ("dev", "lab")
        for settings in [settings_of(environment)]
    }
    assert found["dev"]["vault"]["upstream"] == "https://vault:8200/"
    assert found["lab"]["vault"] == {
        "name": "vault",
        "upstream": "https://192.168.1.102:8200/",
        "upstream_host": f"vault.{DOMAIN}",
        "host_header": f"vault.{DOMAIN}:8200",
    }
    assert found["lab"]["portainer"]["upstream"] == "https://portainer:9443/api/system/status"


def test_every_route_has_one_service_and_goes_where_containers_find_it() -> None:
    routes = configuration(world("lab")["services"].settings)["routes"]
    upstreams = {route["host"]: route["upstream"] for route in routes}
    assert upstreams[f"mlflow.{DOMAIN}"] == "http://mlflow:5000"
    assert upstreams[f"portainer.{DOMAIN}"] == "https://portainer:9443"
    assert len(upstreams) == len(routes) >= 6


def test_in_the_lab_only_the_gateway_is_published_for_browsers() -> None:
    layers = world("lab")
    found = {
        c.name: published(c.inputs)
        for layer in layers.values()
        for c in layer.all("docker:index/container:Container")
        if published(c.inputs)
    }
    assert found == {
        "gateway-container": {443: 8443},
        "kafka-container": {9092: 9092},
        "postgresql-container": {5432: 5432},
    }


def test_key_is_readable_by_the_master_only() -> None:
    inputs = container(world("lab")["services"], "gateway")
    key = files(inputs)[f"{FOLDER}/gateway.key"]
    assert key["permissions"] == "0400"
    assert not {"owner", "group"} & key.keys()  # root's, and so is the master that reads it
    configuration = files(inputs)["/etc/nginx/nginx.conf"]["content"]
    assert "\nuser nginx;\n" in configuration


def moved(configuration: str, folder: Path) -> str:
    """The configuration with its files in `folder`, which only this user may enter."""
    moved = configuration.replace("/tmp/", f"{folder}/").replace(FOLDER, str(folder))
    return moved.replace("user nginx;", "user root;")


class Upstream(BaseHTTPRequestHandler):
    """Answers with what it was asked; has one model, as Ollama lists them."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[dict[str, tuple[str, dict[str, str]]]] = {}  # path -> the last request for it

    def do_GET(self) -> None:
        self.asked[self.path] = self.command, dict(self.headers)
        asked = {"path": self.path, "headers": dict(self.headers)}
        body = json.dumps({**asked, "models": [{"name": "llama3.2:1b"}]}).encode()
        self.send_response(200 if "fault" not in self.path else 502)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        size = 0
        while chunk := self.rfile.readline().strip():
            length = int(chunk, 16)
            size += len(self.rfile.read(length + 2)) - 2
            if length == 0:
                break
        body = str(size).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Gateway:
    """A running nginx and the certificate of its CA."""

    def __init__(self, port: int, ca: Path):
        self.port = port
        self.ca = ca
        self.context = ssl.create_default_context(cafile=str(ca))

    def ask(self, host: str, path: str = "/", **headers: str) -> tuple[int, str]:
        """Status and body of a GET for the page of that name."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.context, timeout=20
        )
        try:
            connection.request("GET", path, headers={"Host": host, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """nginx on the lab's template, with upstreams of the test."""
    folder = tmp_path_factory.mktemp("gateway")
    authority = Authority()
    own = authority.server("gateway", f"*.{DOMAIN}")
    portainer = authority.server("portainer")
    stranger = Authority().server("web")
    context, wrong = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    for pair, name, target in ((portainer, "p", context), (stranger, "s", wrong)):
        (folder / f"{name}.crt").write_text(pair.certificate)
        (folder / f"{name}.key").write_text(pair.key)
        target.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    (folder / "gateway.crt").write_text(own.certificate)
    (folder / "gateway.key").write_text(own.key)
    (folder / "ca.crt").write_text(authority.pem)
    pages = folder / "pages"
    pages.mkdir()
    (pages / "index.html").write_text(text("lab", f"{FOLDER}/pages/index.html"))
    (pages / "unavailable.html").write_text((FILES / "unavailable.html").read_text())
    with (
        serving(Upstream) as plain,
        serving(Upstream, context) as secure,
        serving(Upstream, wrong) as unknown,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
    ):
        silent.bind(("127.0.0.1", 0))
        ports = {"mlflow": plain, "ollama": plain, "portainer": secure, "web": unknown}
        port = free_port()
        values = configuration(settings_of("lab"))
        for route in values["routes"]:
            name = route["host"].removesuffix(f".{DOMAIN}")
            if name == AWAY:
                continue
            scheme = "https" if name in {"portainer", "web"} else "http"
            route["upstream"] = f"{scheme}://127.0.0.1:{ports.get(name, free_port())}"
        for state in values["states"]:
            name = state["name"]
            if name in ports:
                scheme = "https" if name in {"portainer", "web"} else "http"
                fault = "/fault" if name == "web" else "/page"
                state["upstream"] = f"{scheme}://127.0.0.1:{ports[name]}{fault}"
            elif name == "vault":  # it answers, and has a fault
                state["upstream"] = f"http://127.0.0.1:{plain}/fault"
            elif name != AWAY:
                state["upstream"] = f"http://127.0.0.1:{free_port()}/"
        values["resolver"] = f"127.0.0.1:{silent.getsockname()[1]}"
        made = jinja2.Template((FILES / "gateway.conf.j2").read_text())
        conf = folder / "nginx.conf"
        conf.write_text(moved(made.render(values | {"port": f"127.0.0.1:{port}"}), folder))
        # As root, nginx would give its workers a user that cannot read the test's folder.
        command: list[str | Path] = ["nginx", "-e", "stderr", "-c", conf, "-g", "daemon off;"]
        with server(command, lambda: listens(port), folder / "log", cwd=folder):
            yield Gateway(port, folder / "ca.crt")


def test_no_nginx_counts_the_host_s_cores_or_waits_long_for_a_name() -> None:
    """64 workers took 46 of the gateway's 64 MiB; nginx waits 30 s for a name by itself."""
    found = [
        path
        for path in (PATH.parent / "layers").rglob("*.conf.j2")
        if "events {" in (path.read_text())
    ]
    assert {path.name for path in found} == {"gateway.conf.j2", "nginx.conf.j2"}
    for path in found:
        directives = re.findall(
            r"^ *(worker_processes|resolver_timeout) (.+);", path.read_text(), re.M
        )
        assert directives == [("worker_processes", "2"), ("resolver_timeout", "3s")], path


@pytest.mark.lint
@pytest.mark.slow
@pytest.mark.parametrize("variant", ["dev", "dev with GitLab", "lab"])
def test_nginx_accepts_the_configuration(variant: str, tmp_path: Path) -> None:
    pair = Authority().server("gateway")
    (tmp_path / "gateway.crt").write_text(pair.certificate)
    (tmp_path / "gateway.key").write_text(pair.key)
    (tmp_path / "ca.crt").write_text(pair.certificate)
    conf = tmp_path / "nginx.conf"
    conf.write_text(moved(text(variant, "/etc/nginx/nginx.conf"), tmp_path))
    done = subprocess.run(
        ["nginx", "-t", "-e", "stderr", "-c", conf], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr, done.stderr


@pytest.mark.service
def test_start_page_answers_to_every_name_that_is_no_service(gateway: Gateway) -> None:
    for host in (DOMAIN, f"gateway.{DOMAIN}", "localhost", "192.168.1.202", "nonsense"):
        status, body = gateway.ask(host)
        assert status == 200
        assert "MLflow" in body
    assert gateway.ask(DOMAIN, "/healthz") == (200, "ok\n")


@pytest.mark.service
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("mlflow", 200),
        ("portainer", 200),
        ("vault", 502),  # its own word
        ("web", 504),  # its certificate is somebody else's
        ("open-webui", 504),  # nothing listens
        (AWAY, 504),  # its name is not known
        ("nonsense", 404),
    ],
)
def test_it_looks_for_the_start_page_how_services_are(
    gateway: Gateway, name: str, status: int
) -> None:
    cookie = {"Host": DOMAIN, "Cookie": "a=b", "Authorization": "Basic YTpi"}
    with closing(
        http.client.HTTPSConnection("127.0.0.1", gateway.port, context=gateway.context)
    ) as client:
        client.request("HEAD", f"/state/{name}", headers=cookie)
        answer = client.getresponse()
        assert answer.status == status
        assert answer.read() == b""
        if status == 200:
            command, headers = Upstream.asked.pop("/page")
            assert (command, list(headers)) == ("GET", ["Host"])
        client.request("GET", f"/state/{name}", headers=cookie)
        assert client.getresponse().status == 403


@pytest.mark.service
def test_the_ca_can_be_downloaded(gateway: Gateway) -> None:
    assert gateway.ask(DOMAIN, "/ca.crt") == (200, gateway.ca.read_text())


@pytest.mark.service
@pytest.mark.parametrize("host", [DOMAIN, f"{DOMAIN}:443", "localhost:8443", "192.168.1.202"])
def test_a_wrong_path_leads_to_the_start_page_at_the_clients_own_port(
    gateway: Gateway, host: str
) -> None:
    """It led to :8443, the port inside, which nobody publishes (#10.21)."""
    with closing(
        http.client.HTTPSConnection("127.0.0.1", gateway.port, context=gateway.context)
    ) as client:
        client.request("GET", "/no/such/page", headers={"Host": host})
        answer = client.getresponse()
    assert (answer.status, answer.headers["Location"]) == (302, "/")


@pytest.mark.service
def test_pages_are_proxied_with_the_name_that_was_asked_for(gateway: Gateway) -> None:
    status, body = gateway.ask(f"mlflow.{DOMAIN}", "/api/2.0/x?a=%2F&b=1")
    seen = json.loads(body)
    assert (status, seen["path"]) == (200, "/api/2.0/x?a=%2F&b=1")
    assert seen["headers"]["Host"] == f"mlflow.{DOMAIN}"
    assert seen["headers"]["X-Forwarded-Proto"] == "https"
    assert "Connection" not in seen["headers"]


@pytest.mark.service
def test_websockets_are_passed_on(gateway: Gateway) -> None:
    _, body = gateway.ask(f"mlflow.{DOMAIN}", "/", Upgrade="websocket", Connection="Upgrade")
    headers = json.loads(body)["headers"]
    assert (headers["Upgrade"], headers["Connection"]) == ("websocket", "upgrade")


@pytest.mark.service
def test_ollama_is_asked_by_the_only_name_that_it_answers(gateway: Gateway) -> None:
    _, body = gateway.ask(f"ollama.{DOMAIN}", "/api/version")
    assert json.loads(body)["headers"]["Host"] == "localhost:11434"


@pytest.mark.service
def test_the_lab_s_models_are_pulled_through_it_by_address(gateway: Gateway) -> None:
    command = [sys.executable, "-m", "provision", "ollama", "--model", "llama3.2:1b"]
    command += ["--url", f"https://ollama.{DOMAIN}:{gateway.port}"]
    trusted = {"OLLAMA_ADDRESS": "127.0.0.1", "SSL_CERT_FILE": str(gateway.ca)}
    for env, code, said in (
        (trusted, 0, "ready, nothing to do"),
        ({**trusted, "SSL_CERT_FILE": "/dev/null"}, 1, "CERTIFICATE_VERIFY_FAILED"),
    ):
        done = subprocess.run(
            command,
            env=clean_environment(**env),
            cwd=PATH.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        assert said in done.stdout + done.stderr


@pytest.mark.service
def test_upstream_certificates_are_checked(gateway: Gateway) -> None:
    assert gateway.ask(f"portainer.{DOMAIN}")[0] == 200
    # Signed by somebody else.
    assert gateway.ask(f"web.{DOMAIN}")[0] == 502


@pytest.mark.service
def test_a_service_that_is_not_there_yet_says_so(gateway: Gateway) -> None:
    status, body = gateway.ask(f"open-webui.{DOMAIN}")
    assert status == 502
    assert "Not running yet" in body
    # What a service itself says of its upstreams goes through untouched.
    status, body = gateway.ask(f"mlflow.{DOMAIN}", "/fault")
    assert status == 502
    assert "Not running yet" not in body


@pytest.mark.service
def test_a_service_that_is_away_says_so_within_seconds(gateway: Gateway) -> None:
    """Docker's DNS passes a name that no container has to a server that may not answer."""
    begun = time.monotonic()
    status, body = gateway.ask(f"{AWAY}.{DOMAIN}")
    assert (status, "Not running yet" in body) == (502, True)
    assert time.monotonic() - begun < 25, "nginx's own limit is 30 s"


@pytest.mark.service
@pytest.mark.parametrize("port", ["", ":8443"])
def test_portainer_sees_the_origin_that_the_browser_names(gateway: Gateway, port: str) -> None:
    """It takes a change from its own origin only, compared with the Host that it was asked by.

    So it needs no --trusted-origins, in which version 2.33 dies of a port (portainer#12748, #12751)
    and 2.41 of a name without https://.
    """
    host = f"portainer.{DOMAIN}{port}"
    _, body = gateway.ask(host, "/api/auth", Origin=f"https://{host}")
    seen = json.loads(body)["headers"]
    assert seen["Origin"] == f"https://{seen['Host']}"
    assert seen["X-Forwarded-Proto"] == "https"


@pytest.mark.service
def test_artifacts_of_any_size_stream_through(gateway: Gateway) -> None:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", gateway.port, context=gateway.context, timeout=60
    )
    block = b"x" * 1_000_000
    connection.request(
        "POST",
        "/upload",
        body=(block for _ in range(20)),
        headers={"Host": f"mlflow.{DOMAIN}"},
        encode_chunked=True,
    )
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"20000000")
    connection.close()
