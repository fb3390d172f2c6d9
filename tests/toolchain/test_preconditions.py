"""What a machine lacks is said at once, before anything is made; files that refuse, in one line."""

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from cli.main import main
from toolchain import files, install, obtain, preconditions, pulumi_cli

ROOT = Path(__file__).parents[2]
Usage = namedtuple("Usage", "total used free")
NOBODY = 65534


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Pulumi whose checkout has no environment yet; it has all else."""
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pulumi_cli, "find_pulumi", lambda: None)
    monkeypatch.setattr(obtain, "reachable", lambda: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 5 * 10**9))
    (tmp_path / "requirements.txt").touch()
    return tmp_path


def lacks() -> list[str]:
    return [
        str(lack)
        for lack in preconditions.missing("requirements.txt", engine=True, programs=("git",))
    ]


def test_a_machine_that_has_everything(bare: Path) -> None:
    assert lacks() == []


def test_everything_at_once(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "can_make_environments", lambda: False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10**9))
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    packages, go, room = lacks()
    assert packages == (
        "python3-venv, git, ca-certificates missing: Debian and Ubuntu: "
        "apt install python3-venv git ca-certificates"
    )
    assert go.startswith("neither Pulumi >= 3.257 nor Go >= 1.21 found: Install Pulumi (https://")
    assert room.startswith(f"{bare}: 1.0 GB free, 4.8 GB needed: free some, or set XDG_CACHE_HOME")


def test_the_official_release_needs_less_room(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 2 * 10**9))
    assert len(lacks()) == 1
    monkeypatch.setattr(obtain, "reachable", lambda: True)
    assert lacks() == []


def test_a_checkout_of_somebody_else(bare: Path) -> None:
    bare.chmod(0o755)
    (bare / "cache").mkdir(mode=0o777)
    (bare / "cache").chmod(0o777)
    # os.access asks for the real user, which a test cannot change for itself.
    command = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from toolchain import install, preconditions\n"
        f"os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "install.ROOT = Path(sys.argv[2])\n"
        "print(*preconditions.folders(venv=True), sep=chr(10))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, ROOT, bare], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[:1] == [
        f"{bare} cannot be written (Permission denied): make it writable for you, "
        f"or: git clone {bare} FOLDER"
    ], done.stderr


def test_a_checkout_on_a_read_only_disk(bare: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", bare], check=True)
    try:
        checkout, cache = preconditions.folders(venv=True)
        assert "cannot be written (Read-only file system)" in str(checkout)
        assert "set XDG_CACHE_HOME" in str(cache)
    finally:
        subprocess.run(["umount", "--lazy", bare], check=True)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "No space left on device: nothing half-made was kept; free some space"),
        (errno.EROFS, "Read-only file system: make / writable for you"),
        (errno.EACCES, "Permission denied: make / writable for you"),
    ],
)
def test_a_verb_that_cannot_write_says_so_in_one_line(
    code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> int:
        raise OSError(code, os.strerror(code), "/no-such-folder/x")

    monkeypatch.setattr("cli.commands.check.run", refuse)
    assert main(["check", "dev"]) == 1
    assert capsys.readouterr().err.startswith(f"lab: /no-such-folder/x: {said}")


def test_whose_file_it_is(tmp_path: Path) -> None:
    os.chown(tmp_path, 4711, 4711)
    text = files.explain(OSError(errno.EACCES, "Permission denied", str(tmp_path / "file")))
    assert text == f"{tmp_path}/file: Permission denied: {tmp_path} belongs to 4711"


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    assert files.explain(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None


def test_replace_leaves_the_old_file_when_it_cannot_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    files.replace(target, b"old", 0o600)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        files.replace(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
