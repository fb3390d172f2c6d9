"""`./lab pin` against a registry and a vendor of the test's own."""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import pin
from settings.images import PATH, catalogue, download
from tests.cli.conftest import Checkout

MANIFEST = b'{"schemaVersion": 2}'
FILE = b"a driver"
SUM = "ab" * 32
TEMPLATE = """# What stands here stays.
images:
  # renovate: datasource=docker
  kafka: {{ image: {host}/apache/kafka, tag: 4.1.0, digest: "" }}  # with a remark
  known: {{ image: {host}/known, tag: "1", digest: "sha256:{known}" }}
downloads:
  vault:
    url: http://{host}/vault_1.zip
    version: "1"
    sha256: ""
    sums: http://{host}/SHA256SUMS
  driver:
    url: http://{host}/driver.run
    version: "1"
    sha256: ""
repositories: {{}}
"""


class Site(BaseHTTPRequestHandler):
    """A registry that wants an anonymous token, and files."""

    told = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
    sums = f"{'cd' * 32}  other.zip\n{SUM.upper()} *vault_1.zip\n"

    def do_GET(self) -> None:
        host = self.headers["Host"]
        path = self.path.partition("?")[0]
        if path == "/token":
            assert "scope=repository%3Aapache%2Fkafka%3Apull" in self.path
            self.reply(200, b'{"token": "anonymous"}')
        elif path == "/v2/apache/kafka/manifests/4.1.0":
            if self.headers.get("Authorization") == "Bearer anonymous":
                assert "image.index" in self.headers["Accept"].split(",")[0]
                self.reply(200, MANIFEST, {"Docker-Content-Digest": self.told})
            else:
                realm = f'Bearer realm="http://{host}/token",service="s",'
                scope = 'scope="repository:apache/kafka:pull"'
                self.reply(401, b"", {"WWW-Authenticate": realm + scope})
        elif path.endswith(("/SHA256SUMS", "-checksums.txt")):
            self.reply(200, self.sums.encode())
        elif path == "/driver.run":
            self.reply(200, FILE)
        else:
            self.reply(404, b"")

    def reply(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """One answer."""
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """HOST:PORT of the site."""
    monkeypatch.setenv("NO_PROXY", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str) -> Path:
    """An images.yaml whose hosts are the site."""
    file = tmp_path / "images.yaml"
    file.write_text(TEMPLATE.format(host=site, known="0" * 64))
    monkeypatch.setattr(pin, "PATH", file)
    return file


def test_fills_what_is_empty_and_nothing_else(checkout: Checkout, images: Path) -> None:
    before = images.read_text().splitlines()
    assert checkout.lab("pin") == 0
    after = images.read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    hashed = hashlib.sha256(FILE).hexdigest()
    assert [new.replace(old[: old.index('""')], "").split("  #")[0] for old, new in changed] == [
        f'"{Site.told}" }}',
        f'"{SUM}"',
        f'"{hashed}"',
    ]
    assert "# with a remark" in images.read_text()
    assert checkout.lab("pin") == 0
    assert images.read_text().splitlines() == after


def test_offline_changes_nothing(
    checkout: Checkout, images: Path, capsys: pytest.CaptureFixture[str], site: str
) -> None:
    images.write_text(images.read_text().replace(site, "127.0.0.1:9"))
    before = images.read_text()
    assert checkout.lab("pin") == 1
    assert images.read_text() == before
    said = capsys.readouterr().err
    for name in ("images.kafka", "downloads.vault", "downloads.driver"):
        assert f"images.yaml: {name}: " in said
    assert "Traceback" not in said


def test_a_digest_that_is_not_the_manifests_is_refused(
    checkout: Checkout,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Site, "told", f"sha256:{'1' * 64}")
    assert checkout.lab("pin") == 1
    assert "not pinned" in capsys.readouterr().err
    assert 'tag: 4.1.0, digest: "" }' in images.read_text()
    assert SUM in images.read_text(), "what could be found out is written"


def test_a_file_that_its_vendor_does_not_list_stays_empty(
    checkout: Checkout,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Site, "sums", f"{SUM}  vault_1.zip.sig\n")
    assert checkout.lab("pin") == 1
    assert "does not list vault_1.zip" in capsys.readouterr().err
    assert SUM not in images.read_text()


def test_pulumi_s_own_list_is_read(
    checkout: Checkout, images: Path, monkeypatch: pytest.MonkeyPatch, site: str
) -> None:
    entry = download("pulumi")
    here = {name: re.sub("^https://[^/]+", f"http://{site}", text) for name, text in entry.items()}
    only = {"images": {}, "downloads": {"pulumi": {**here, "sha256": ""}}, "repositories": {}}
    images.write_text(yaml.safe_dump(only))
    archive = f"pulumi-v{entry['version']}-{{}}"
    monkeypatch.setattr(
        Site,
        "sums",
        f"{'cd' * 32}  {archive.format('linux-arm64.tar.gz')}\n"
        f"{SUM}  {archive.format('linux-x64.tar.gz')}\n"
        f"{'ef' * 32}  {archive.format('windows-x64.zip')}\n",
    )
    assert checkout.lab("pin") == 0  # the site has the list, not the archive
    assert yaml.safe_load(images.read_text())["downloads"]["pulumi"]["sha256"] == SUM


def test_addresses_of_a_download_are_of_its_version() -> None:
    for name, entry in catalogue().downloads.items():
        assert entry.version in entry.url, name
        assert not entry.sums or entry.version in entry.sums, name


def test_the_committed_catalogue_has_the_shape_that_pin_reads() -> None:
    names = {gap.name for gap in pin.empty(PATH.read_text())}
    assert all(name.startswith(("images.", "downloads.")) for name in names)


def test_silo_names_its_files_by_the_digits_of_its_version() -> None:
    """As pgsty/silo's .github/workflows/docker-release.yml reads them from a release."""
    entry = catalogue().downloads["silo"]
    stem = f"silo_{re.sub(r'[^0-9]', '', entry.version)}.0.0"
    release = f"https://github.com/pgsty/silo/releases/download/{entry.version}"
    assert entry.url == f"{release}/{stem}_linux_amd64.tar.gz"
    assert entry.sums == f"{release}/{stem}_checksums.txt"


def test_gitlab_has_a_repository_for_each_release_and_the_runner_one_for_all() -> None:
    """docs.gitlab.com/install/mirror; both are signed with the key that GitLab documents."""
    repositories = catalogue().repositories
    gitlab, runner = repositories["gitlab"], repositories["gitlab-runner"]
    assert gitlab.url == f"https://packages.gitlab.com/gitlab/gitlab-ce/ubuntu/{gitlab.suite}"
    assert runner.url == "https://packages.gitlab.com/runner/gitlab-runner/ubuntu"
    assert gitlab.key_url == runner.key_url == "https://packages.gitlab.com/gpgkey/gpg.key"
