"""A signed apt repository that changes, and real apt."""

import gzip
import hashlib
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.process import clean_environment

SUITE = "dists/stable"
INDEX = "main/binary-amd64"


@dataclass
class Package:
    """A package of the repository: its place in the pool and its stanza of the index."""

    path: str
    content: bytes
    stanza: str


@dataclass
class Repository:
    """A repository in `files`, path -> content, as an origin serves it.

    by_hash says whether indexes are there under their hashes too; old ones then stay. detached:
    the signature is in a file of its own, and there is no InRelease.
    """

    folder: Path
    prefix: str
    by_hash: bool = True
    detached: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    serial: int = 0

    def __post_init__(self) -> None:
        # Not below the test's own folder: the agent's socket must have a path of 107 bytes at most.
        # The agent ends by itself once the folder is gone.
        self._home = tempfile.TemporaryDirectory(prefix="gpg")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._gpg("--quick-generate-key", "datalab tests", "ed25519", "sign", "never")
        self.keyring = self.folder / "key.gpg"
        self.keyring.write_bytes(self._gpg("--export"))

    def package(self, name: str, version: str, size: int = 1000, content: str = "") -> Package:
        """A package whose one file has `size` bytes, made by dpkg-deb, read by apt-ftparchive.

        Another `content` is another file under the same name.
        """
        tree = self.folder / "build" / name
        (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
        (tree / "usr/share" / name).mkdir(parents=True, exist_ok=True)
        (tree / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: Nobody <nobody@example.invalid>\nDescription: made by a test\n"
        )
        seed = f"{name}_{version}{content}".encode()
        data = b"".join(
            hashlib.sha512(seed + str(part).encode()).digest() for part in range(size // 64 + 1)
        )
        (tree / "usr/share" / name / "data").write_bytes(data[:size])
        pool = self.folder / "tree" / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        deb = pool / f"{name}_{version}_all.deb"
        _run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, deb])
        stanza = _run(["apt-ftparchive", "packages", f"pool/{deb.name}"], cwd=pool.parent)
        return Package(f"pool/{deb.name}", deb.read_bytes(), stanza.decode())

    def publish(self, packages: Sequence[Package]) -> dict[str, bytes]:
        """The next state of the repository with `packages`; nothing is served of it yet."""
        self.serial += 1
        text = "".join(package.stanza for package in packages).encode()
        # A padding that changes, so that no two indexes are alike.
        indexes = {
            f"{INDEX}/Packages": text,
            f"{INDEX}/Packages.gz": gzip.compress(text, 1, mtime=self.serial),
        }
        sums = "".join(
            f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"
            for name, content in indexes.items()
        )
        release = (
            f"Origin: datalab\nSuite: stable\nCodename: stable\nVersion: {self.serial}\n"
            "Date: Tue, 14 Nov 2023 22:13:20 UTC\nArchitectures: amd64\nComponents: main\n"
            f"Acquire-By-Hash: {'yes' if self.by_hash else 'no'}\nSHA256:\n{sums}"
        )
        state = {f"{SUITE}/{name}": content for name, content in indexes.items()}
        if self.by_hash:
            for content in indexes.values():
                digest = hashlib.sha256(content).hexdigest()
                state[f"{SUITE}/{INDEX}/by-hash/SHA256/{digest}"] = content
        if self.detached:
            state[f"{SUITE}/Release"] = release.encode()
            signature = self._gpg("--detach-sign", "--armor", stdin=release.encode())
            state[f"{SUITE}/Release.gpg"] = signature
        else:
            state[f"{SUITE}/InRelease"] = self._gpg("--clearsign", stdin=release.encode())
        state.update({package.path: package.content for package in packages})
        return {f"{self.prefix}/{name}": content for name, content in state.items()}

    def _gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", self._home.name, "--batch", "--passphrase", "", *words]
        return _run(command, stdin=stdin)


class Apt:
    """Real apt with folders of its own, which knows one repository."""

    def __init__(self, folder: Path, url: str, keyring: Path, suite: str = "stable") -> None:
        self.folder = folder
        for name in ("lists/partial", "archives/partial", "etc/preferences.d", "log"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        components = "" if suite.endswith("/") else " main"
        (folder / "sources.list").write_text(
            f"deb [signed-by={keyring}] {url} {suite}{components}\n"
        )
        (folder / "apt.conf").write_text(
            f'Dir::State "{folder}";\nDir::State::status "{folder}/status";\n'
            f'Dir::State::lists "{folder}/lists";\nDir::Cache "{folder}";\n'
            f'Dir::Cache::archives "{folder}/archives";\n'
            f'Dir::Etc::sourcelist "{folder}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
            f'Dir::Etc::parts "/dev/null";\nDir::Etc::main "/dev/null";\nDir::Log "{folder}/log";\n'
            'APT::Architecture "amd64";\nAPT::Architectures "amd64";\nAPT::Sandbox::User "root";\n'
            'Acquire::Languages "none";\nAcquire::Retries "0";\nDebug::NoLocking "true";\n'
            'Acquire::http::Proxy "DIRECT";\nAPT::Update::Error-Mode "any";\n'
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`apt-get WORDS`."""
        return subprocess.run(
            ["apt-get", "-q", *words],
            cwd=self.folder,  # where `download` puts its files
            env=clean_environment(APT_CONFIG=str(self.folder / "apt.conf"), LC_ALL="C"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def download(self, names: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Fetch packages as an installation would, and check them."""
        for archive in self.archives().values():
            archive.unlink()
        return self.run("install", "-y", "--download-only", "--no-install-recommends", *names)

    def archives(self) -> Mapping[str, Path]:
        """The fetched packages by name."""
        return {path.name.split("_")[0]: path for path in (self.folder / "archives").glob("*.deb")}


def _run(command: Sequence[str | Path], stdin: bytes = b"", cwd: Path | None = None) -> bytes:
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        cwd=cwd,
        env=clean_environment(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout
