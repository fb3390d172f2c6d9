"""The virtual environment: made once, finished when interrupted, never half used."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness.wheel import pack, requirement
from toolchain import files, install, progress

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAMES = (install.RUN, install.TESTS)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheels: Path) -> Path:
    """A checkout with small requirements, which pip and uv find in a folder."""
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    (tmp_path / "tests").mkdir()
    for name in NAMES:
        (tmp_path / name).write_text(needs("one"))
    return tmp_path


def needs(*names: str) -> str:
    """Requirements of packages of the tests' own."""
    return "".join(requirement(pack(name), name) for name in names)


def packages(venv: Path) -> set[str]:
    """Name-version of everything that an environment holds."""
    return {info.stem for info in venv.glob("lib/*/site-packages/*.dist-info")}


def pins(name: str) -> dict[str, str]:
    """Package -> version of a requirements file."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def test_the_tests_requirements_hold_the_programs() -> None:
    program, tests = map(pins, NAMES)
    assert len(program) > 20
    assert {name: tests.get(name) for name in program} == program


def test_every_requirement_has_a_hash_and_none_an_address() -> None:
    for name in NAMES:
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert not re.search(r"^--(index|extra-index|find-links)", text, re.MULTILINE)
        assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(
            re.findall(r"==.*\\\n    --hash=", text)
        )


def test_made_once_and_again_when_the_file_changes(
    bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install.ensure_python(install.TESTS)
    assert "done" in capsys.readouterr().err
    assert install.python_ready("requirements.txt"), "the tests' file holds the program's"
    install.ensure_python(install.TESTS)
    assert capsys.readouterr().err == ""
    (bare / "requirements.txt").write_text(needs("one", "two"))
    assert not install.python_ready("requirements.txt")
    assert install.python_ready(install.TESTS)


def test_a_failure_leaves_no_mark_and_the_next_start_finishes(bare: Path) -> None:
    file = bare / "requirements.txt"
    file.write_text(requirement(b"", "no-such-package-0"))
    with pytest.raises(install.SetupError, match="package index"):
        install.ensure_python("requirements.txt")
    assert not install.python_ready("requirements.txt")
    file.write_text(needs("one"))
    install.ensure_python("requirements.txt")
    assert install.python_ready("requirements.txt")


def test_what_is_named_no_more_is_removed(bare: Path) -> None:
    (bare / install.RUN).write_text(needs("one", "two"))
    install.ensure_python(install.RUN)
    assert {"one-1.0", "two-1.0"} < packages(install.VENV)
    (bare / install.RUN).write_text(needs("one"))
    install.ensure_python(install.RUN)
    left = {name.partition("-")[0] for name in packages(install.VENV)}
    assert left - {"setuptools"} == {"one", "pip", "uv"}  # Python 3.11 brings setuptools


def test_where_tests_ran_their_packages_stay(bare: Path) -> None:
    (bare / install.TESTS).write_text(needs("one", "two"))
    install.ensure_python(install.TESTS)
    (bare / install.RUN).write_text("# of another version\n" + needs("one"))
    install.ensure_python(install.RUN)
    assert "two-1.0" in packages(install.VENV)
    assert all(map(install.python_ready, NAMES))


def test_what_is_installed_is_compiled(bare: Path) -> None:
    install.ensure_python(install.RUN)
    assert list(install.VENV.glob("lib/*/site-packages/__pycache__/one.*.pyc"))


def test_a_machine_that_uv_has_no_wheel_for(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(bare))
    with pytest.raises(install.SetupError, match=rf"no such uv for this machine .*{os.uname()[4]}"):
        install.ensure_python(install.RUN)


@pytest.mark.parametrize("broken", ["empty", "no-python"])
def test_a_broken_environment_is_made_again(bare: Path, broken: str) -> None:
    venv = bare / ".venv"
    if broken == "empty":
        venv.mkdir()
    else:
        install.ensure_python("requirements.txt")
        (venv / "bin" / "python").unlink()
        (venv / "bin" / "python").symlink_to("/nowhere/python3")
        (venv / ".requirements.txt.installed").unlink()
    install.ensure_python("requirements.txt")
    answer = subprocess.run([venv / "bin" / "python", "-m", "pip", "--version"], check=False)
    assert answer.returncode == 0


@pytest.mark.parametrize("step", ["virtual environment .venv", "Python packages"])
def test_what_was_killed_half_way_is_made_again(
    bare: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run = progress.run
    left = bare / ".venv" / "half"

    def killed(label: str, command: list[str | Path], **options: Any) -> list[str]:
        lines = run(label, command, **options)
        if label.startswith(step):
            left.touch()
            raise KeyboardInterrupt
        return lines

    install.ensure_python("requirements.txt")
    (bare / "requirements.txt").write_text(needs("one", "two"))
    if step != "Python packages":
        (bare / ".venv" / "pyvenv.cfg").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(progress, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            install.ensure_python("requirements.txt")
    assert left.exists()
    (bare / "requirements.txt").write_text(needs("one"))
    assert not install.python_ready("requirements.txt"), "the old mark says nothing any more"
    install.ensure_python("requirements.txt")
    assert install.python_ready("requirements.txt")
    assert not left.exists()


def test_interrupted_while_the_old_one_is_removed(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install.ensure_python("requirements.txt")
    (bare / ".venv" / "pyvenv.cfg").unlink()
    (bare / "requirements.txt").write_text(needs("one", "two"))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            install.ensure_python("requirements.txt")
    install.ensure_python("requirements.txt")
    assert install.python_ready("requirements.txt")
    assert {path.name for path in bare.iterdir() if path.is_dir()} == {".venv", "cache", "tests"}


def test_an_index_that_fails_costs_no_working_environment(bare: Path) -> None:
    install.ensure_python("requirements.txt")
    (bare / ".venv" / "mine").touch()
    file = bare / "requirements.txt"
    file.write_text(requirement(b"", "no-such-package-0"))
    with pytest.raises(install.SetupError):
        install.ensure_python("requirements.txt")
    file.write_text(needs("one"))
    assert install.python_ready("requirements.txt")
    assert (bare / ".venv" / "mine").exists()


@pytest.mark.parametrize("name", ["elsewhere", "with a blank", "x" * 120])
def test_a_checkout_that_was_moved_keeps_its_environment(
    bare: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install.ensure_python("requirements.txt")
    (bare / ".venv" / "mine").touch()
    there = bare / name
    there.mkdir()
    for file in ("requirements.txt", ".venv"):
        (bare / file).rename(there / file)
    monkeypatch.setattr(install, "ROOT", there)
    monkeypatch.setattr(install, "VENV", there / ".venv")
    capsys.readouterr()
    install.ensure_python("requirements.txt")
    assert capsys.readouterr().err == "", "nothing was made or installed"
    assert (there / ".venv" / "mine").exists()
    assert install.python_ready("requirements.txt")
    done = subprocess.run(
        [there / ".venv" / "bin" / "pip", "--version"], capture_output=True, text=True, check=True
    )
    assert str(there / ".venv") in done.stdout
    old = f"{bare}/.venv"
    for script in (there / ".venv" / "bin").iterdir():
        text = script.read_bytes().decode(errors="ignore")  # uv is no script
        assert script.is_symlink() or not re.search(rf"(?<!\w){old}", text), script


@pytest.fixture
def small(bare: Path) -> Iterator[Path]:
    """A disk of 3 MB under the checkout's environment: too small for one."""
    if os.geteuid():
        pytest.fail("a file system of its own needs root")
    folder = bare / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("full", ["environment", "cache"])
def test_a_full_disk_keeps_nothing_half_made(
    small: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    if full == "environment":
        monkeypatch.setattr(install, "VENV", small / ".venv")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", str(small))
        with (small / "theirs").open("wb") as theirs, suppress(OSError):
            theirs.write(bytes(4 << 20))
    with pytest.raises(OSError, match="No space left") as caught:
        install.ensure_python("requirements.txt")
    assert "free some space" in str(files.explain(caught.value))
    assert not install.VENV.exists()


@pytest.fixture
def baked(bare: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The image's own environment, finished as images/deployer/Dockerfile says it is."""
    folder = bare.parent / "opt"
    text = (ROOT / "images/deployer/Dockerfile").read_text()
    assert str(install.BAKED) in text
    (stamp,) = re.findall(r"printf '%s %s' .*?installed", text, re.DOTALL)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    for there, here in ((install.BAKED, folder), (install.BAKED.parent, bare)):
        stamp = stamp.replace(str(there), str(here))
    subprocess.run(["sh", "-ec", stamp], check=True)
    monkeypatch.setattr(install, "BAKED", folder)
    return folder


def test_a_job_takes_the_environment_of_its_image(
    bare: Path, baked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(baked.rglob("*"))
    for _ in range(2):
        install.ensure_python("requirements.txt")
        assert install.python_ready("requirements.txt")
    assert (bare / ".venv").readlink() == baked
    assert capsys.readouterr().err == ""  # nothing was installed
    python = bare / ".venv" / "bin" / "python"
    prefix = subprocess.run(
        [python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert prefix == str(install.VENV), "start.py would start itself for ever"

    install.ensure_python(install.TESTS)
    assert not (bare / ".venv").is_symlink()
    assert install.python_ready(install.TESTS)
    assert sorted(baked.rglob("*")) == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_of_other_requirements_it_is_not_taken(bare: Path, baked: Path, when: str) -> None:
    if when == "after":
        install.ensure_python("requirements.txt")
    (bare / "requirements.txt").write_text(needs("two"))
    assert not install.python_ready("requirements.txt")
    install.ensure_python("requirements.txt")
    assert not (bare / ".venv").is_symlink()
    assert install.python_ready("requirements.txt")


@pytest.mark.parametrize("target", ["theirs", "nowhere"])
def test_a_link_is_refused_and_not_followed(bare: Path, target: str) -> None:
    theirs = bare / "theirs"
    theirs.mkdir()
    for name in (".requirements.txt.installed", "kept"):
        (theirs / name).write_text("of another checkout")
    (bare / ".venv").symlink_to(bare / target)
    with pytest.raises(install.SetupError, match=rf"link to .*{target}.*rm .*\.venv"):
        install.ensure_python("requirements.txt")
    assert {path.name for path in theirs.iterdir()} == {".requirements.txt.installed", "kept"}


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/big/disk")
    assert install.cache_folder() == Path("/big/disk/datalab")
    for unusable in ("", "relative/path"):  # the XDG specification ignores a relative one
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert install.cache_folder() == Path("/home/me/.cache/datalab")


def test_progress_shows_counts_and_keeps_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "import sys\nfor n in range(3): print('unit', n)\nprint('note', file=sys.stderr)"
    log = tmp_path / "log"
    lines = progress.run(
        "building", [sys.executable, "-c", script], log=log, counted="^unit", total=3
    )
    assert lines[:3] == ["unit 0", "unit 1", "unit 2"]
    assert "note" in log.read_text()
    assert "building" in capsys.readouterr().err


def test_progress_of_a_failure_ends_with_its_last_lines(tmp_path: Path) -> None:
    script = "import sys\nprint('the reason')\nsys.exit(3)"
    with pytest.raises(progress.CommandError, match=r"exit code 3.*\n.*the reason"):
        progress.run("building", [sys.executable, "-c", script], log=tmp_path / "log")
