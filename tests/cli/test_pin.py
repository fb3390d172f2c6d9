"""`./lab pin` against a registry and vendors of the test's own."""

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cli.commands.pin import sources as pin
from settings import images, pins
from tests.cli.conftest import Checkout
from tests.harness.apt_repository import AptRepository, apt_repository
from tests.harness.certificates import Authority

MANIFEST = b'{"schemaVersion": 2}'
DIGEST = hashlib.sha256(MANIFEST).hexdigest()
FILE = b"a driver"
HASHED = hashlib.sha256(FILE).hexdigest()
SUM, OLD, NEW = "ab" * 32, "0" * 64, "1" * 64
TEMPLATE = """# What stands here stays.
images:
  kafka: {{ image: docker.io/apache/kafka, tag: 4.1.0 }}
  known: {{ image: docker.io/known, tag: "1" }}
downloads:
  vault:
    version: "1"
    url: https://{host}/vault_{{version}}.zip
    sums: https://{host}/SHA256SUMS
    signature:
      url: https://{host}/SHA256SUMS.sig
      key_url: https://{host}/key.asc
      key_fingerprint: {fingerprint}
  driver:
    version: "1"
    url: https://{host}/driver-{{version}}.run
repositories: {{}}
"""


class Site(BaseHTTPRequestHandler):
    """A registry that wants an anonymous token, and files."""

    told = f"sha256:{DIGEST}"
    files: ClassVar[dict[str, bytes]] = {}

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
                realm = f'Bearer realm="https://{host}/token",service="s",'
                scope = 'scope="repository:apache/kafka:pull"'
                self.reply(401, b"", {"WWW-Authenticate": realm + scope})
        elif path in self.files:
            self.reply(200, self.files[path])
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


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AptRepository]:
    """Who signs, with a key of its own."""
    with apt_repository(tmp_path_factory.mktemp("vendor"), "https://nowhere.test") as made:
        yield made


def publish(vendor: AptRepository, sums: str, **files: bytes) -> None:
    """Let the site have this list of sums, signed, and other files as they are given."""
    Site.files = {
        "/SHA256SUMS": sums.encode(),
        "/SHA256SUMS.sig": vendor.signature(sums.encode()),
        "/key.asc": (vendor.folder / "key.asc").read_bytes(),
        "/driver-1.run": FILE,
        "/plugins/pulumi-resource-docker-v5.2.0-linux-amd64.tar.gz": FILE,
        **{f"/{name}": content for name, content in files.items()},
    }


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: AptRepository) -> Iterator[str]:
    """HOST:PORT of the site, which is Docker Hub, Pulumi's server and every vendor."""
    authority = Authority()
    pair, both, ca = authority.server(), tmp_path / "site.pem", tmp_path / "ca.pem"
    both.write_text(pair.certificate + pair.key)
    ca.write_text(authority.pem)
    for name, value in {"NO_PROXY": "*", "SSL_CERT_FILE": str(ca)}.items():
        monkeypatch.setenv(name, value)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    host = f"localhost:{server.server_port}"
    monkeypatch.setitem(pin.API_HOSTS, "docker.io", host)
    monkeypatch.setattr(pins, "PULUMI", f"https://{host}/plugins")
    publish(vendor, f"{'cd' * 32}  other.zip\n{SUM.upper()} *vault_1.zip\n")
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()


class Files:
    """An images.yaml and its images.sum in a folder of the test."""

    def __init__(self, folder: Path, host: str) -> None:
        self.yaml, self.sum, self.host = folder / "images.yaml", folder / "images.sum", host

    @property
    def sums(self) -> dict[str, str]:
        """Name with its version, without the site's address -> sum."""
        return {k.replace(f"https://{self.host}", ""): v for k, v in pins.read(self.yaml).items()}

    def change(self, old: str, new: str) -> None:
        """Edit images.yaml as a person does."""
        text = self.yaml.read_text()
        assert old in text
        self.yaml.write_text(text.replace(old, new))


@pytest.fixture
def files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str, vendor: AptRepository
) -> Files:
    """One image has its digest; everything is at the site."""
    made = Files(tmp_path, site)
    made.yaml.write_text(TEMPLATE.format(host=site, fingerprint=vendor.fingerprint))
    made.sum.write_text(pins.text({"docker.io/known:1": OLD}))
    (tmp_path / "requirements.txt").write_text("pulumi==3.1\npulumi-docker==5.2.0 \\\n")
    monkeypatch.setattr(images, "PATH", made.yaml)
    monkeypatch.setattr(pins, "ROOT", tmp_path)
    return made


ALL = {
    "docker.io/apache/kafka:4.1.0": DIGEST,
    "docker.io/known:1": OLD,
    "/vault_1.zip": SUM,
    "/driver-1.run": HASHED,
    "/plugins/pulumi-resource-docker-v5.2.0-linux-amd64.tar.gz": HASHED,
}


def test_fills_what_is_missing_and_nothing_else(checkout: Checkout, files: Files) -> None:
    before = files.yaml.read_text()
    assert checkout.lab("pin") == 0
    assert files.sums == ALL
    assert files.yaml.read_text() == before
    written = files.sum.read_text()
    assert checkout.lab("pin") == 0
    assert files.sum.read_text() == written


def test_one_entry_is_fetched_by_its_name_known_or_not(checkout: Checkout, files: Files) -> None:
    files.sum.write_text(pins.text({"docker.io/apache/kafka:4.1.0": OLD}))
    assert checkout.lab("pin", "kafka") == 0
    assert files.sums == {"docker.io/apache/kafka:4.1.0": DIGEST}
    assert checkout.lab("pin", "downloads.driver") == 0
    assert files.sums["/driver-1.run"] == HASHED


def test_a_name_that_nothing_has_is_said(
    checkout: Checkout, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.lab("pin", "images.kafak") == 2
    assert "images.yaml has no images.kafak; did you mean images.kafka?" in capsys.readouterr().err


RAISED = {
    "images.kafka": ("tag: 4.1.0", "tag: 4.2.0", "docker.io/apache/kafka:4.{}.0"),
    "downloads.driver": (
        'driver:\n    version: "1"',
        'driver:\n    version: "2"',
        "https://HOST/driver-{}.run",
    ),
}


@pytest.mark.parametrize("entry", RAISED)
def test_a_raised_version_with_an_old_sum_is_a_fault(
    checkout: Checkout, files: Files, capsys: pytest.CaptureFixture[str], entry: str
) -> None:
    """Docker takes the digest and does not look at the tag: the old image ran under a new name."""
    old, new, name = RAISED[entry]
    name = name.replace("HOST", files.host)
    assert checkout.lab("pin") == 0
    files.change(old, new)
    images.catalogue.cache_clear()
    try:
        assert checkout.lab("check", "dev") == 2
        said = "".join(capsys.readouterr())
        assert (
            f"images.yaml: {entry}: is {name.format(2)} now, and images.sum has the sum of "
            f"{name.format(1)}: run ./lab pin {entry} on a connected machine"
        ) in said
    finally:
        images.catalogue.cache_clear()


def test_a_raised_plugin_with_an_old_sum_is_one_too(checkout: Checkout, files: Files) -> None:
    assert checkout.lab("pin") == 0
    (files.yaml.parent / "requirements.txt").write_text("pulumi-docker==5.3.0 \\\n")
    (fault,) = pins.disagreements(files.yaml, images.read().pins())
    assert "run ./lab pin plugins.docker" in fault


def test_the_old_sum_stays_until_the_new_version_has_one(checkout: Checkout, files: Files) -> None:
    assert checkout.lab("pin") == 0
    files.change("tag: 4.1.0", "tag: 4.2.0")
    assert checkout.lab("pin", "kafka") == 1  # the registry has none
    assert "docker.io/apache/kafka:4.1.0" in files.sums, "it is what says that one is missing"
    files.change("tag: 4.2.0", "tag: 4.1.0")
    files.sum.write_text(files.sum.read_text().replace("kafka:4.1.0", "kafka:4.0.0"))
    assert checkout.lab("pin") == 0
    assert files.sums == ALL


def test_check_compares_with_the_sources_and_writes_nothing(
    checkout: Checkout, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.lab("pin") == 0
    assert checkout.lab("pin", "kafka", "--check") == 0
    text = files.sum.read_text().replace(DIGEST, NEW)
    files.sum.write_text(text)
    capsys.readouterr()
    assert checkout.lab("pin", "--check") == 1
    said = capsys.readouterr().err
    assert f"images.kafka: docker.io/apache/kafka:4.1.0 is served as sha256:{DIGEST} now" in said
    assert f"sha256:{NEW}" in said
    assert files.sum.read_text() == text


def test_check_for_another_program(
    checkout: Checkout, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(code: int, *words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert checkout.lab("pin", *words, "--json") == code
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    name = "docker.io/apache/kafka:4.1.0"
    made = {row["entry"]: row["sha256"] for row in told(0)["pins"]}
    assert (made["images.kafka"], made["downloads.vault"]) == (DIGEST, SUM)
    assert told(0, "kafka", "--check") == {
        "file": "images.sum",
        "pins": [{"entry": "images.kafka", "name": name, "sha256": DIGEST, "served": DIGEST}],
        "faults": [],
    }
    files.sum.write_text(files.sum.read_text().replace(DIGEST, NEW))
    found = told(1, "--check")
    (row,) = [row for row in found["pins"] if row["entry"] == "images.kafka"]
    assert row == {"entry": "images.kafka", "name": name, "sha256": NEW, "served": DIGEST}
    assert any(fault.startswith(f"images.kafka: {name} is served") for fault in found["faults"])


@pytest.mark.parametrize("words", [("pin",), ("pin", "--check")])
def test_offline_is_one_line_with_the_hosts_and_changes_nothing(
    checkout: Checkout,
    files: Files,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setitem(pin.API_HOSTS, "docker.io", "registry.invalid")
    monkeypatch.setattr(pins, "PULUMI", "https://pulumi.invalid")
    files.change(files.host, "vendor.invalid")
    before = files.sum.read_text()
    assert checkout.lab(*words) == 1
    assert files.sum.read_text() == before
    said = [line for line in capsys.readouterr().err.splitlines() if not line.endswith(" ...")]
    (line,) = [line for line in said if "hashing" not in line]
    start = "lab: registry.invalid, vendor.invalid, pulumi.invalid cannot be reached from here"
    assert line.startswith(start)


def test_a_digest_that_is_not_the_manifests_is_refused(
    checkout: Checkout,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Site, "told", f"sha256:{'1' * 64}")
    assert checkout.lab("pin") == 1
    assert f"says sha256:{'1' * 64}, but what it sent is sha256:" in capsys.readouterr().err
    assert "docker.io/apache/kafka:4.1.0" not in files.sums
    assert files.sums["/vault_1.zip"] == SUM, "what could be found out is written"


class TestSignatures:
    """The vendor's list counts when the key of the fingerprint has signed it."""

    LIST = f"{SUM}  vault_1.zip\n"

    def refused(self, checkout: Checkout, files: Files, said: pytest.CaptureFixture[str]) -> str:
        """What is said of it; nothing is pinned."""
        assert checkout.lab("pin", "vault") == 1
        assert "/vault_1.zip" not in files.sums
        text = said.readouterr().err
        assert "Traceback" not in text
        return text

    def test_a_list_that_was_changed_after_it(
        self,
        checkout: Checkout,
        files: Files,
        vendor: AptRepository,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        publish(vendor, self.LIST)
        Site.files["/SHA256SUMS"] = self.LIST.replace("ab", "ba").encode()
        assert "SHA256SUMS is not signed by the key" in self.refused(checkout, files, capsys)

    def test_a_stranger_who_serves_a_key_of_his_own(
        self,
        checkout: Checkout,
        files: Files,
        vendor: AptRepository,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        folder = tmp_path / "stranger"
        folder.mkdir()
        with apt_repository(folder, "https://nowhere.test") as stranger:
            publish(stranger, self.LIST)
            both = (vendor.folder / "key.asc").read_bytes() + Site.files["/key.asc"]
            Site.files["/key.asc"] = both
            said = self.refused(checkout, files, capsys)
            assert f"the key {vendor.fingerprint} of images.yaml" in said
            assert f"but by {stranger.fingerprint}" in said

    @pytest.mark.parametrize("name", ["/SHA256SUMS.sig", "/key.asc"])
    def test_what_is_no_signature_or_no_key(
        self,
        checkout: Checkout,
        files: Files,
        vendor: AptRepository,
        name: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        publish(vendor, self.LIST)
        Site.files[name] = b"<html>"
        assert "not pinned" in self.refused(checkout, files, capsys)

    def test_without_gpg_it_is_said_what_to_install(
        self,
        checkout: Checkout,
        files: Files,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("PATH", str(files.yaml.parent))
        assert "apt install gnupg" in self.refused(checkout, files, capsys)

    def test_a_file_that_is_not_in_the_list(
        self,
        checkout: Checkout,
        files: Files,
        vendor: AptRepository,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        publish(vendor, f"{SUM}  vault_1.zip.sig\n")
        assert "does not list vault_1.zip" in self.refused(checkout, files, capsys)


def test_a_line_that_is_none_is_said(files: Files) -> None:
    files.sum.write_text("docker.io/known:1 sha256:abc\n")
    (fault,) = pins.disagreements(files.yaml, images.read().pins())
    assert fault.startswith("images.sum has a line that is no name and sum: 'docker.io/known:1")


def test_the_committed_sums_are_of_the_committed_versions() -> None:
    committed = images.read()
    assert list(pins.disagreements(images.PATH, committed.pins())) == []
    stems = [pin.stem for pin in committed.pins()]
    assert len(set(stems)) == len(stems), "each line has one owner"


def test_addresses_are_of_a_version_that_stands_once() -> None:
    for name, entry in images.read().downloads.items():
        for address in filter(None, (entry.url, entry.sums)):
            assert "{version}" in address or "{digits}" in address, name
            assert entry.version not in address, name
            assert "{" not in entry.at(address), name


def test_vendors_that_sign_are_checked_by_their_published_keys() -> None:
    """security.hashicorp.com; wiki.ubuntu.com/SecurityTeam/FAQ; openbao.org/docs/install."""
    found = {
        name: entry.signature.key_fingerprint
        for name, entry in images.read().downloads.items()
        if entry.signature
    }
    assert found == {
        "ubuntu-vm": "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81",
        "vault": "C874011F0AB405110D02105534365D9472D7468F",
        "openbao": "66D15FDD87287219C8E15478D200CD702853E6D0",
    }


def test_silo_names_its_files_by_the_digits_of_its_version() -> None:
    """As pgsty/silo's .github/workflows/docker-release.yml reads them from a release."""
    entry = images.Download(
        version="RELEASE.2026-09-16T00-00-00Z", url=images.read().downloads["silo"].url
    )
    assert entry.at(entry.url) == (
        "https://github.com/pgsty/silo/releases/download/RELEASE.2026-09-16T00-00-00Z/"
        "silo_20260916000000.0.0_linux_amd64.tar.gz"
    )


def test_gitlab_has_a_repository_for_each_release_and_the_runner_one_for_all() -> None:
    """docs.gitlab.com/install/mirror; both are signed with the key that GitLab documents."""
    repositories = images.read().repositories
    gitlab, runner = repositories["gitlab"], repositories["gitlab-runner"]
    assert gitlab.url == f"https://packages.gitlab.com/gitlab/gitlab-ce/ubuntu/{gitlab.suite}"
    assert runner.url == "https://packages.gitlab.com/runner/gitlab-runner/ubuntu"
    assert gitlab.key_url == runner.key_url == "https://packages.gitlab.com/gpgkey/gpg.key"


def test_one_program_has_one_version_whatever_it_is_installed_from() -> None:
    found = images.read()
    for name in ("silo", "minio", "vault", "openbao"):
        assert found.downloads[name].version == found.images[name].tag, name
    assert found.repositories["gitlab"].packages["gitlab-ce"] == found.images["gitlab"].tag
    runner = found.repositories["gitlab-runner"].packages["gitlab-runner"]
    assert f"alpine-v{runner.partition('-')[0]}" == found.images["gitlab-runner"].tag
