"""A signed apt repository of tiny packages that record how their programs were called."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.process import clean_environment

# Records its arguments, one call a line, and the variables of the lab that it was given.
RECORDER = """#!/bin/sh
given=$(env | sed -n 's/^LAB_/ LAB_/p' | sort | tr -d '\\n')
echo "${0##*/} $*$given" >>/var/log/called
"""


@dataclass(frozen=True, kw_only=True)
class Package:
    """files maps a path to its text; those in a folder named bin or sbin are programs.

    after is a shell script that runs once the package is installed.
    """

    name: str
    version: str
    files: Mapping[str, str]
    after: str = ""
    provides: str = ""
    depends: str = ""


@dataclass(frozen=True)
class AptRepository:
    """A flat repository in `folder`, which a web server shows at `url`; its key is in `home`."""

    folder: Path
    url: str
    home: Path

    def __post_init__(self) -> None:
        who = ("datalab test", "ed25519", "sign", "never")
        self._gpg("--passphrase", "", "--quick-generate-key", *who)
        self._export()

    def _export(self) -> None:
        (self.folder / "key.asc").write_text(self._gpg("--armor", "--export"))

    @property
    def fingerprint(self) -> str:
        """That of its key."""
        listed = self._gpg("--with-colons", "--list-keys")
        return next(line for line in listed.splitlines() if line.startswith("fpr")).split(":")[9]

    def expire(self, when: str) -> None:
        """Give its key another expiry, as --quick-set-expire takes it, and publish the key."""
        self._gpg("--passphrase", "", "--quick-set-expire", self.fingerprint, when)
        self._export()

    def signature(self, content: bytes) -> bytes:
        """A detached signature."""
        (self.home / "content").write_bytes(content)
        self._gpg("--yes", "--detach-sign", str(self.home / "content"))
        return (self.home / "content.sig").read_bytes()

    @property
    def source(self) -> dict[str, str]:
        """The repository as the roles take it."""
        return {
            "url": self.url,
            "suite": "/",
            "components": "",
            "key_url": f"{self.url}/key.asc",
            "key_fingerprint": self.fingerprint,
        }

    def publish(self, *packages: Package) -> None:
        """Add packages and sign the index again."""
        for package in packages:
            self._build(package)
        index = self._run("apt-ftparchive", "packages", ".")
        (self.folder / "Packages").write_text(index)
        (self.folder / "InRelease").unlink(missing_ok=True)
        release = self._run("apt-ftparchive", "release", ".")
        (self.folder / "Release").write_text(release)
        self._gpg("--yes", "--output", "InRelease", "--clearsign", "Release")

    def _build(self, package: Package) -> None:
        tree = self.folder / "build" / f"{package.name}_{package.version}"
        control = tree / "DEBIAN"
        control.mkdir(parents=True)
        relations = {"Provides": package.provides, "Depends": package.depends}
        related = "".join(f"{field}: {value}\n" for field, value in relations.items() if value)
        (control / "control").write_text(
            f"Package: {package.name}\nVersion: {package.version}\nArchitecture: all\n"
            f"Maintainer: datalab test <test@localhost>\nDescription: for tests\n{related}"
        )
        if package.after:
            script = control / "postinst"
            script.write_text(f"#!/bin/sh\nset -e\n{package.after}\n")
            script.chmod(0o755)
        for path, text in package.files.items():
            file = tree / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755 if file.parent.name in {"bin", "sbin"} else 0o644)
        self._run("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), ".")

    def _gpg(self, *arguments: str) -> str:
        return self._run("gpg", "--batch", "--homedir", str(self.home), *arguments)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment(GNUPGHOME=os.fspath(self.home)),
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout


@contextmanager
def apt_repository(folder: Path, url: str) -> Iterator[AptRepository]:
    """A repository until the block ends; its agent's socket needs a short path."""
    with tempfile.TemporaryDirectory(prefix="gpg") as home:
        try:
            yield AptRepository(folder, url, Path(home))
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
