"""A signed apk repository that changes, and a client of it.

Alpine's own apk 2.14.9, built from its source by hand, installs from it through the cache too, and
refuses the forged index ("BAD signature"); no registry that the tests use has it.
"""

import base64
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.harness.process import clean_environment
from toolchain.kept import cached

MODULE = Path(__file__).parents[1] / "fixtures" / "apk"
ARCH = "x86_64"
KEY = "tests@datalab.rsa.pub"


def _tar(files: Mapping[str, bytes], *, whole: bool, sums: bool = False) -> bytes:
    """A tar of files, packed; without its end where another one follows, as abuild-tar cuts it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folders = {folder for name in files for folder in PurePosixPath(name).parents}
        for folder in sorted(folders - {PurePosixPath(".")}):
            entry = tarfile.TarInfo(str(folder))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uname, entry.gname = len(content), 0o644, "root", "root"
            if sums:
                digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
                entry.pax_headers = {"APK-TOOLS.checksum.SHA1": digest}
            tar.addfile(entry, io.BytesIO(content))
        end = buffer.tell()
    return gzip.compress(buffer.getvalue() if whole else buffer.getvalue()[:end], 1, mtime=0)


@dataclass(frozen=True)
class Package:
    """A package: its file's name, its content and its stanza of the index."""

    file: str
    content: bytes
    stanza: str


class Repository:
    """What an origin serves below `prefix`, signed by a key of its own."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.prefix = prefix
        self._key = rsa.generate_private_key(65537, 2048)
        folder.mkdir()
        self.key = folder / KEY
        self.key.write_bytes(
            self._key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def _signed(self, content: bytes) -> bytes:
        # The format's own choice: the name RSA means SHA-1.
        signature = self._key.sign(content, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
        return _tar({f".SIGN.RSA.{KEY}": signature}, whole=False) + content

    def package(
        self, name: str, version: str, files: Mapping[str, bytes], needs: Sequence[str] = ()
    ) -> Package:
        """A package with these files."""
        data = _tar(files, whole=True, sums=True)
        size = sum(map(len, files.values()))
        info = (
            f"pkgname = {name}\npkgver = {version}\npkgdesc = made by a test\n"
            f"size = {size}\narch = {ARCH}\nlicense = MIT\n"
            + "".join(f"depend = {need}\n" for need in needs)
            + f"datahash = {hashlib.sha256(data).hexdigest()}\n"
        )
        control = _tar({".PKGINFO": info.encode()}, whole=False)
        content = self._signed(control) + data
        digest = hashlib.sha1(control, usedforsecurity=False).digest()
        stanza = (
            f"C:Q1{base64.b64encode(digest).decode()}\nP:{name}\nV:{version}\nA:{ARCH}\n"
            f"S:{len(content)}\nI:{size}\nT:made by a test\nU:https://example.invalid\nL:MIT\n"
            + (f"D:{' '.join(needs)}\n" if needs else "")
        )
        return Package(f"{name}-{version}.apk", content, stanza)

    def publish(self, packages: Sequence[Package]) -> dict[str, bytes]:
        """Path -> content of a repository with `packages`."""
        index = "\n".join(package.stanza for package in packages) + "\n"
        listed = _tar({"DESCRIPTION": b"tests", "APKINDEX": index.encode()}, whole=True)
        files = {package.file: package.content for package in packages}
        files["APKINDEX.tar.gz"] = self._signed(listed)
        return {f"{self.prefix}/{ARCH}/{name}": content for name, content in files.items()}


def program() -> Path:
    """The client of tests/fixtures/apk, built where it is new."""
    sources = sorted(MODULE.iterdir())
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]

    def build(folder: Path) -> None:
        source = shutil.copytree(MODULE, folder / "source")
        env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
        command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(folder / "apk"), "."]
        subprocess.run(command, cwd=source, env=env, check=True)

    return cached(f"apk-{key}", build) / "apk"


def add(root: Path, url: str, key: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Install packages from the repository at `url` into the empty folder `root`."""
    root.mkdir()
    root.chmod(0o755)
    return subprocess.run(
        [program(), root, ARCH, url, key, *names],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
