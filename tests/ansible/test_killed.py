"""A run that is killed leaves nothing of its secrets on a disk, here or on the machine."""

import json
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from targets.ansible import ENVIRONMENT, PLAYBOOK
from tests.ansible.conftest import ROOT, Lab, play
from tests.harness.process import clean_environment, wait_for
from toolchain.private import PLACES

pytestmark = pytest.mark.service
SECRET = secrets.token_hex(16)  # new, as tools keep what stands in sources
SKIPPED = {".git", ".venv"}  # of the checkout
REPOSITORY = ("url", "suite", "components", "key_url", "key_fingerprint")
VARIABLES = {
    "gitlab_runner_config": f"token = '{SECRET}'",
    "gitlab_runner_ca": "ca",
    "gitlab_runner_docker_certificate": "certificate",
    "gitlab_runner_docker_key": "key",
    "gitlab_runner_repository": dict.fromkeys(REPOSITORY, "-"),  # it does not come so far
    "gitlab_runner_packages": {},
}


def holding(*folders: Path) -> Iterator[Path]:
    """The files in these folders that have the secret."""
    for folder in folders:
        for where, inside, files in os.walk(folder):
            inside[:] = [name for name in inside if Path(where) != ROOT or name not in SKIPPED]
            for path in (Path(where, name) for name in files):
                try:
                    if path.is_file() and SECRET.encode() in path.read_bytes():
                        yield path
                except OSError:  # it is gone, or a socket
                    continue


def on_tmpfs(path: Path) -> bool:
    kind = ["stat", "--file-system", "--format=%T", str(path)]
    return subprocess.run(kind, capture_output=True, text=True, check=False).stdout == "tmpfs\n"


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of a short path: ssh has a socket in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_killed_run_leaves_no_secret_on_a_disk(lab: Lab, home: Path, where: str) -> None:
    machine = Path(f"/proc/{lab.machine._init()}/root")
    # Where Ansible's own defaults, the checkout's variables and ours have them; little to read.
    here = (ROOT / ".ansible", home, *(Path(place) for place in PLACES[:2] if place))
    there = (machine / "root", machine / "home", machine / "run", machine / "tmp")
    lab.machine.run("rm -rf /etc/gitlab-runner")
    process = subprocess.Popen(
        PLAYBOOK.split(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env=clean_environment(**ENVIRONMENT, HOME=str(home)),
        start_new_session=True,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(lab.machine.job(["gitlab_runner"], VARIABLES)))
    process.stdin.close()
    found: dict[Path, bool] = {}

    def written() -> bool:
        assert process.poll() is None, process.stdout and process.stdout.read()
        # Of the folder that is there in any case: the file itself may be gone by now.
        files = holding(*(here if where == "here" else there))
        found.update({path: on_tmpfs(path.parents[2]) for path in files})
        return bool(found)

    try:
        wait_for(written, what="the file with the secret")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert all(found.values()), found
    assert not list(holding(ROOT, home, *(folder for folder in there if not on_tmpfs(folder))))
    # The next run clears what is here.
    assert play(lab.machine.job([], {})).code == 0
    assert not list(holding(*here))
