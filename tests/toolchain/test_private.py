"""Secrets on their way into another program are in memory only, and of nobody else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.process import wait_for
from toolchain import files, private

SLEEPER = (
    "from toolchain.private import private_folder\n"
    "import time\n"
    "with private_folder() as folder:\n"
    "    (folder / 'secret').write_text('correct-horse')\n"
    "    print(folder, flush=True)\n"
    "    time.sleep(600)\n"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(private, "PLACES", (None, "/nonexistent", str(tmp_path)))
    return tmp_path


def test_it_is_in_memory() -> None:
    with private.private_folder() as folder:
        kind = ["stat", "--file-system", "--format=%T", str(folder)]
        done = subprocess.run(kind, capture_output=True, text=True, check=True)
        assert done.stdout == "tmpfs\n"
        for path in (folder, folder.parent):
            assert path.stat().st_mode & 0o777 == 0o700


def test_it_goes_with_its_block(place: Path) -> None:
    with pytest.raises(ValueError, match="broken"), private.private_folder() as folder:
        (folder / "secret").write_text("correct-horse")
        raise ValueError("broken")
    assert folder.is_relative_to(place)
    assert not folder.exists()


def test_what_a_killed_process_left_goes_with_the_next(place: Path) -> None:
    variables = {**os.environ, "XDG_RUNTIME_DIR": str(place)}
    sleeper = subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(private.__file__).parents[1],
    )
    assert sleeper.stdout is not None
    left = Path(sleeper.stdout.readline().strip())
    with private.private_folder():
        assert (left / "secret").exists()  # it still runs
    sleeper.kill()
    sleeper.communicate()
    assert (left / "secret").exists()
    with private.private_folder() as folder:
        assert list(left.parent.iterdir()) == [folder]


@pytest.mark.parametrize("prepared", ["link", "open", "file"])
def test_a_folder_that_somebody_prepared_is_refused(place: Path, prepared: str) -> None:
    root = place / f"datalab-{os.getuid()}"
    if prepared == "link":
        (place / "theirs").mkdir(mode=0o700)
        root.symlink_to(place / "theirs")
    elif prepared == "open":
        root.mkdir()
        root.chmod(0o755)
    else:
        root.touch()
    with pytest.raises(SystemExit, match=str(root)), private.private_folder():
        pass


def test_ansible_gets_its_temporary_files_there(tmp_path: Path) -> None:
    """A program of this Python's environment, in the same process, with the folder to write to."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    program = tmp_path / "ansible-playbook"
    program.write_text('#!/bin/sh\necho "$$ $*"; echo "$ANSIBLE_LOCAL_TEMP"; cat\n')
    program.chmod(0o755)
    process = subprocess.Popen(
        [python, private.__file__, "ansible-playbook", "--check", "a b"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    said = process.communicate("the job")[0].splitlines()
    assert said[0] == f"{process.pid} --check a b"
    folder = Path(said[1])
    assert folder.name.startswith(f"{process.pid}-")
    assert said[2] == "the job"


ANSIBLE = """#!/bin/sh
ssh-add -l >/dev/null 2>&1; [ $? = 1 ] || echo "no agent"  # 1: it answers, and has no key
echo "$SSH_AGENT_PID $ANSIBLE_SSH_AGENT $ANSIBLE_SSH_CONTROL_PATH_DIR"
exec sleep 600
"""
SOCKET_PATH = 103  # the longest that macOS takes
OWN_SUFFIX = len("/0123456789.0123456789abcdef")  # of Ansible and of ssh, for a control socket


@pytest.mark.slow
def test_a_killed_ansible_leaves_no_agent_and_its_sockets_have_short_paths(place: Path) -> None:
    """Each killed run left an agent that held the machines' key; a long checkout no connection."""
    folder = place / ("a-long-name-" * 8)
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    ansible = folder / "ansible"
    ansible.write_text(ANSIBLE)
    ansible.chmod(0o755)
    run = subprocess.Popen(
        [folder / "python", private.__file__, "ansible"], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    try:
        agent, *sockets = run.stdout.readline().split()
        assert Path(f"/proc/{agent}/comm").read_text() == "ssh-agent\n"
        assert len(sockets) == 2
        assert max(map(len, sockets)) + OWN_SUFFIX <= SOCKET_PATH
    finally:
        run.kill()
        run.wait()
    wait_for(lambda: not Path(f"/proc/{agent}").exists(), what="its end: it looks every 10 s")


def test_a_file_for_one_user_was_never_open_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its first byte and its mode the store's key could be read by anybody."""
    modes: list[int] = []
    written = Path.chmod

    def chmod(path: Path, mode: int) -> None:
        modes.append(path.stat().st_mode & 0o777)
        written(path, mode)

    monkeypatch.setattr(Path, "chmod", chmod)
    left = tmp_path / ".key.new"
    left.write_text("of a killed run")
    before = os.umask(0)
    try:
        files.replace(tmp_path / "key", b"secret", 0o600)
        files.replace(tmp_path / "page", b"public", 0o644)
    finally:
        os.umask(before)
    assert modes == [0o600, 0o600]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "page").stat().st_mode & 0o777 == 0o644
