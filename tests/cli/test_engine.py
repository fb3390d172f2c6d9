"""Signals: Pulumi gets each Ctrl-C once, and `./lab` waits for it."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.lib.fault import Fault
from cli.lib.pulumi import Engine
from tests.harness.process import PATIENCE_S, wait_for

ROOT = Path(__file__).parents[2]
# Counts interrupts for a while, as Pulumi ends its operations under way, then ends with 3.
CHILD = """
import signal, sys, time
count = 0
def more(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, more)
open(sys.argv[1], "w").close()
while not count:
    time.sleep(0.05)
time.sleep(1.5)
open(sys.argv[1], "w").write(str(count))
sys.exit(3)
"""
PARENT = """
import os, sys
from pathlib import Path
from cli.lib.pulumi import wait
sys.exit(wait([sys.executable, "-c", sys.argv[1], sys.argv[2]], Path("/"), dict(os.environ)))
"""


def arguments(file: Path) -> list[str]:
    """`./lab` in short: waits for a child that writes to `file` how often it was interrupted."""
    return [sys.executable, "-c", PARENT, CHILD, str(file)]


def test_interrupt_without_a_terminal_is_passed_on_once(tmp_path: Path) -> None:
    file = tmp_path / "count"
    process = subprocess.Popen(arguments(file), cwd=ROOT, stdin=subprocess.DEVNULL, process_group=0)
    wait_for(file.exists)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)  # a second one would make Pulumi drop what it does
    assert process.wait(PATIENCE_S) == 3
    assert file.read_text() == "1"


def test_ctrl_c_on_a_terminal_reaches_the_child_once(tmp_path: Path) -> None:
    file = tmp_path / "count"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, arguments(file))  # noqa: S606 - replaces the forked test
    wait_for(file.exists)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 3
    assert file.read_text() == "1"


def test_capture_fails_with_what_pulumi_said(tmp_path: Path) -> None:
    pulumi = tmp_path / "pulumi"
    pulumi.write_text("#!/bin/sh\necho 'error: incorrect passphrase' >&2\nexit 6\n")
    pulumi.chmod(0o755)
    path = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    engine = Engine(folder=tmp_path, variables={**os.environ, "PATH": path})
    with pytest.raises(Fault, match="incorrect passphrase") as raised:
        engine.capture("stack", "ls")
    assert raised.value.code == 6
