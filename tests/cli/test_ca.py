"""`./lab ca`: the certificate itself, and a machine that trusts it."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.commands import ca
from cli.lib import backend, root
from tests.cli.conftest import Checkout
from tests.harness.certificates import Authority
from tests.harness.process import clean_environment

ROOT = Path(__file__).parents[2]
PEM = "-----BEGIN CERTIFICATE-----\nlab\n-----END CERTIFICATE-----"


@pytest.fixture
def foundation(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The outputs of the foundation."""
    outputs: dict[str, Any] = {"ca_certificate": PEM}
    engine = SimpleNamespace(stacks=lambda: {"lab-foundation": 7}, outputs=lambda _: outputs)
    monkeypatch.setattr(backend, "prepare", lambda _: (engine, None))
    return outputs


def test_the_certificate_alone_is_printed(
    checkout: Checkout, foundation: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.lab("ca", "lab") == 0
    assert capsys.readouterr().out == f"{PEM}\n"


def test_without_a_foundation_it_says_what_comes_first(
    checkout: Checkout, foundation: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    foundation.clear()
    assert checkout.lab("ca", "lab") == 1
    assert checkout.lab("ca", "dev") == 1
    assert capsys.readouterr().err.splitlines() == [
        "lab: lab-foundation has no CA yet: run ./lab up lab foundation first",
        "lab: dev-foundation has no CA yet: run ./lab up dev foundation first",
    ]


def test_a_system_that_it_does_not_know_gets_words(
    checkout: Checkout,
    foundation: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ca, "_updater", lambda: None)
    assert checkout.lab("ca", "lab", "--install") == 1
    assert "./lab ca lab > ca.pem, then by hand as docs/your-laptop.md says" in (
        capsys.readouterr().err
    )


def test_the_command_of_macos(
    checkout: Checkout,
    foundation: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Words and options of security(1): https://keith.github.io/xcode-man-pages/security.1.html."""
    given: list[Sequence[str]] = []

    def run(command: Sequence[str], what: str) -> None:
        assert Path(command[-1]).read_text() == f"{PEM}\n"
        given.append(command[:-1])

    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(root, "run", run)
    assert checkout.lab("ca", "lab", "--install") == 0
    keychain = "/Library/Keychains/System.keychain"
    words = ["security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", keychain]
    assert given == [words]
    assert "Firefox" in capsys.readouterr().out


# What a Debian trusts, in a mount namespace: the real folders' contents, and nothing of them kept.
APART = """
for folder in /etc/ssl/certs /usr/local/share/ca-certificates; do
    mkdir -p "$folder"
    mkdir "$1/copy"
    cp -a "$folder/." "$1/copy"
    mount -t tmpfs tmpfs "$folder"
    cp -a "$1/copy/." "$folder"
    rm -r "$1/copy"
done
shift
exec "$@"
"""
INSTALL = """
import subprocess, sys
from pathlib import Path
from cli.commands import ca
folder = Path(sys.argv[1])
def checked(leaf):
    words = ["openssl", "verify", "-CApath", "/etc/ssl/certs", folder / leaf]
    one = subprocess.run(words, capture_output=True).returncode == 0
    words[2:4] = ["-CAfile", "/etc/ssl/certs/ca-certificates.crt"]
    return one, subprocess.run(words, capture_output=True).returncode == 0
print(*checked("old.crt"))
for name in ("old", "old", "new"):  # the second time as well, and a CA that was made again
    print(ca.install("lab", (folder / f"{name}.pem").read_text()))
    print(*checked("old.crt"), *checked("new.crt"))
"""


@pytest.mark.service
def test_a_debian_trusts_the_lab(tmp_path: Path) -> None:
    """The real update-ca-certificates, and openssl by both of its ways to look."""
    assert shutil.which("update-ca-certificates", path="/usr/sbin"), "apt install ca-certificates"
    for name in ("old", "new"):
        authority = Authority()
        (tmp_path / f"{name}.pem").write_text(authority.pem)
        (tmp_path / f"{name}.crt").write_text(authority.server("gitlab.lab.home.arpa").certificate)
    # Users have no /usr/sbin on their PATH, on Debian.
    variables: Mapping[str, str] = clean_environment(PYTHONPATH=str(ROOT), PATH="/usr/bin:/bin")
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-ec", APART, "sh", tmp_path),
            *(sys.executable, "-c", INSTALL, tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=variables,
    )
    file = "/usr/local/share/ca-certificates/datalab-lab.crt"
    trusted = f"{file}: trusted by this machine"
    assert done.stdout.splitlines() == [
        "False False",
        trusted,
        "True True False False",
        trusted,
        "True True False False",
        trusted,
        "False False True True",
    ], done.stderr
    assert not Path(file).exists()
