"""A bare Debian, as debootstrap makes it: what `./lab` says is missing, and that the remedy works.

Ubuntu's archive is another's; where it can be had, `noble` belongs with these.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.machine import archive
from toolchain import install, pulumi_cli

pytestmark = [pytest.mark.service, pytest.mark.long]
KEPT = ("PIP_", "GO", "SSL_CERT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
INSIDE = """\
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
shift_root="$1"; shift
exec chroot "$shift_root" /bin/sh -c "$1"
"""


class Bare:
    """A Debian without anything, and a checkout in its /home/me/datalab."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, command: str, **variables: str) -> tuple[int, str]:
        """Exit code and all output of a shell command there."""
        env = {
            **{name: value for name, value in os.environ.items() if name.startswith(KEPT)},
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/home/me",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **variables,
        }
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", self.root, command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=env,
        )
        return done.returncode, done.stdout

    def lab(self, words: str) -> tuple[int, str]:
        """Run `./lab`; exit code and all output."""
        return self.run(f"cd /home/me/datalab && ./lab {words}")


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def bare(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bare]:
    """A new one; the archive is that of this computer's own Debian."""
    root = tmp_path_factory.mktemp(request.param) / "root"
    words = ["debootstrap", "--variant=minbase", request.param, root, archive()]
    subprocess.run(words, check=True, capture_output=True)
    shutil.copy("/etc/resolv.conf", root / "etc")
    # Authorities that this computer itself was given, as behind a company's proxy.
    own = Path("/usr/local/share/ca-certificates")
    if own.is_dir():
        shutil.copytree(own, root / own.relative_to("/"), dirs_exist_ok=True)
    home = root / "home/me/datalab"
    home.mkdir(parents=True)
    packed = subprocess.run(
        ["git", "-C", install.ROOT, "ls-files", "-z"], check=True, capture_output=True
    ).stdout
    for name in packed.decode().strip("\0").split("\0"):
        if os.path.lexists(install.ROOT / name):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(install.ROOT / name, home / name, follow_symlinks=False)
    yield Bare(root)
    # Not Python's own: what `./lab` left to be removed goes at the same time.
    subprocess.run(["rm", "-rf", root], check=True)


def remedy(said: str) -> str:
    """The command that a message tells."""
    return "apt install" + said.partition("apt install")[2].splitlines()[0]


def test_what_is_said_to_be_missing_is_enough(bare: Bare) -> None:
    code, said = bare.lab("doctor")
    assert code == 1
    assert len(said.splitlines()) == 1
    assert bare.run("apt-get update")[0] == 0
    code, output = bare.run(remedy(said).replace("install", "install --yes"))
    assert code == 0, output
    code, said = bare.lab("check dev")
    assert code == 0, said


def test_pulumi_is_built_without_any_go(bare: Bare) -> None:
    """With that of the package index, as there is no other."""
    code, said = bare.lab("env dev")
    assert code == 0, said
    code, said = bare.run("/home/me/.cache/datalab/pulumi/*/pulumi version")
    assert said.strip() == pulumi_cli.pinned_version()


def test_python_alone_is_not_enough_and_all_is_said_before_anything_is_fetched(bare: Bare) -> None:
    """With Python but not what Debian splits off from it."""
    for folder in (".cache", "datalab/.venv"):
        shutil.rmtree(bare.root / "home/me" / folder, ignore_errors=True)
    # A pattern, as a package that this Debian does not know would be an error.
    purge = "apt-get purge --yes '^python3.*-venv$' git ca-certificates"
    code, output = bare.run(f"{purge} && rm -rf /etc/ssl/certs")
    assert code == 0, output
    code, said = bare.lab("ci preview dev")
    assert code == 1, said
    names = "python3-venv git ca-certificates"
    assert said.splitlines() == [
        f"lab: {names.replace(' ', ', ')} missing: Debian and Ubuntu: apt install {names}"
    ]
    assert not (bare.root / "home/me/.cache").exists()
    assert not (bare.root / "home/me/datalab/.venv").exists()
