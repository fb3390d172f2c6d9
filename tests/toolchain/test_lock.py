"""Set-ups take turns, and who waits is told for whom and for what."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.harness.process import PATIENCE_S, wait_for
from toolchain import install, progress

HOLD = """
import sys, time
from toolchain import install, progress
with install.exclusive(sys.argv[1]):
    progress.show("building", 7, 900, 33)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_who_waits_sees_who_holds_it_and_how_far_that_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    order: list[str] = []

    def second() -> None:
        with install.exclusive("pulumi"):
            order.append("second")

    with subprocess.Popen(
        [sys.executable, "-c", HOLD, "pulumi"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=install.ROOT,
        env=os.environ,
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        waiting = threading.Thread(target=second)
        waiting.start()
        said = ""

        def told() -> bool:
            nonlocal said
            said += capsys.readouterr().err
            return "waiting for another ./lab" in said

        wait_for(told)
        order.append("first")
        holder.communicate()
    waiting.join(PATIENCE_S)
    assert order == ["first", "second"]
    assert f"waiting for another ./lab (process {holder.pid}, building 7 of 900 (33 s))" in said


def test_what_is_nobody_elses_is_not_waited_for() -> None:
    with install.exclusive("pulumi"), install.exclusive("venv-of-this-checkout"):
        pass


def test_a_cache_folder_that_cannot_be_made_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(install.SetupError, match="set XDG_CACHE_HOME"), install.exclusive("x"):
        pass


def test_a_listener_that_is_gone_hears_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    with progress.told(heard.append):
        progress.show("one", 0, 0, 1)
    progress.show("two", 0, 0, 1)
    assert heard == ["one (1 s)"]
    assert "two" in capsys.readouterr().err
