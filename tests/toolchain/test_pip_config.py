"""uv takes packages from where pip is configured to: pip.conf and PIP_* reach it."""

import os
import ssl
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.harness.certificates import Authority
from tests.harness.process import PROXY_VARIABLES, TRUST_VARIABLES
from tests.harness.wheel import pack, requirement
from toolchain import install, pip_config

PYTHON = Path(sys.executable)


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one pip.conf of a user whose environment says nothing of packages."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")) or name in TRUST_VARIABLES:
            monkeypatch.delenv(name)
    for proxy in PROXY_VARIABLES:
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)
    file = tmp_path / "pip.conf"
    file.touch()
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    return file


def test_what_pip_is_told_uv_is_told(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf.write_text(
        "[global]\nindex-url = https://global.example/simple\ncert = /ca.pem\n"
        "extra-index-url =\n  https://one.example/simple\n  https://two.example/simple\n"
        f"find-links = {conf.parent} https://b.example /not/there\n"
        "trusted-host = one.example two.example:8443\nproxy = proxy:3128\n"
        "no-index = yes\nclient-cert = /me.pem\nretries = 7\n"
        "[install]\nindex_url = https://install.example/simple\n"
    )
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "99")
    found, options = pip_config.uv_environment(PYTHON)
    assert {name: value for name, value in found.items() if name.startswith(("UV_", "SSL_"))} == {
        "UV_DEFAULT_INDEX": "https://install.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": f"{conf.parent},https://b.example",
        "UV_INSECURE_HOST": "one.example two.example:8443",
        "UV_HTTP_TIMEOUT": "99",
        "UV_HTTP_RETRIES": "7",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_SYSTEM_CERTS": "true",
        "SSL_CERT_FILE": "/ca.pem",
        "SSL_CLIENT_CERT": "/me.pem",
    }
    assert {found[name] for name in ("http_proxy", "HTTPS_PROXY")} == {"http://proxy:3128"}
    assert options == ["--no-index"]


def test_the_environment_wins_over_files_and_uvs_own_over_all(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.write_text("[install]\nindex-url = https://file.example/simple\ntimeout = 5\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "")  # pip takes no notice of an empty one
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "6")
    found, options = pip_config.uv_environment(PYTHON)
    assert found["UV_DEFAULT_INDEX"] == "https://env.example/simple"
    assert found["UV_HTTP_TIMEOUT"] == "6"
    assert options == []


def test_authorities_are_looked_for_where_pip_looks() -> None:
    own = {"CURL_CA_BUNDLE": "/curl.pem", "SSL_CERT_FILE": "/python.pem"}
    assert pip_config.uv_variables({}, own)["SSL_CERT_FILE"] == "/curl.pem"
    own["REQUESTS_CA_BUNDLE"] = "/requests.pem"
    assert pip_config.uv_variables({}, own)["SSL_CERT_FILE"] == "/requests.pem"
    assert pip_config.uv_variables({"cert": "/pip.pem"}, own)["SSL_CERT_FILE"] == "/pip.pem"


class Quiet(SimpleHTTPRequestHandler):
    """An index: a folder of folders of files."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests say what was asked for."""


@pytest.fixture
def index(tmp_path: Path, wheels: Path) -> Iterator[tuple[str, Authority]]:
    """An index by HTTPS that no machine trusts, with uv and one package more; and its CA."""
    folder, ca = tmp_path / "simple", Authority()
    for name in ("one", "uv"):
        (folder / name).mkdir(parents=True)
        for wheel in wheels.glob(f"{name}-*"):
            (folder / name / wheel.name).hardlink_to(wheel)
    pair = ca.server()
    (tmp_path / "pair.pem").write_text(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}/simple", ca
    server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("trust", ["trusted-host = 127.0.0.1", "cert = {ca}", ""])
def test_packages_come_from_pips_own_index(
    index: tuple[str, Authority],
    conf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trust: str,
) -> None:
    url, ca = index
    (tmp_path / "ca.pem").write_text(ca.pem)
    trust = trust.format(ca=tmp_path / "ca.pem")
    conf.write_text(f"[global]\nindex-url = {url}\nretries = 0\n{trust}\n")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / install.RUN).write_text(requirement(pack("one"), "one"))
    if trust:
        install.ensure_python(install.RUN)
        assert list(install.VENV.glob("lib/*/site-packages/one.py"))
    else:
        with pytest.raises(install.SetupError, match="uv"):
            install.ensure_python(install.RUN)
