"""`./lab test`: what it installs, what it selects, and that nothing is left out in silence."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.commands import test as tests
from cli.commands.test import TIERS
from cli.lib.fault import Fault
from tests.cli.conftest import Checkout
from tests.conftest import LONGEST

ROOT = Path(__file__).parents[2]


@pytest.fixture
def commands(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that `./lab test` runs; no package is missing."""
    ran: list[list[str]] = []
    monkeypatch.setattr(tests, "missing", lambda _: [])

    def run(command: list[str], *_: object) -> int:
        ran.append(command)
        return 5

    monkeypatch.setattr(tests, "wait", run)
    return ran


@pytest.mark.parametrize(
    ("words", "marks"),
    [
        ([], "(lint or unit or engine or service) and not long"),
        (["unit"], "(unit) and not long"),
        (["unit", "engine", "--long"], "unit or engine"),
        (["quick"], "(lint or unit) and not slow and not long"),
    ],
)
def test_selection(
    checkout: Checkout, commands: list[list[str]], words: list[str], marks: str
) -> None:
    assert checkout.lab("test", *words, "--", "-x") == 5  # pytest's: no test ran
    assert commands[0][1:5] == ["-m", "pytest", "-m", marks]
    assert commands[0][-1] == "-x", "the user's words come last and win"


def test_quick_needs_no_package_and_goes_alone(
    checkout: Checkout, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tests, "missing", lambda _: ["git"])
    monkeypatch.setattr("cli.commands.test.os.geteuid", lambda: 1000)
    assert checkout.lab("test", "quick") == 5
    assert checkout.lab("test", "quick", "--long") == 2
    assert checkout.lab("test", "quick", "engine") == 2
    assert len(commands) == 1


@pytest.fixture(params=[("max", 4), ("4294967296", 4), ("2147483648", 2), ("1677721600", 1)])
def workers(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many fit into a container of a big machine, which has a limit on its memory."""
    limit, number = request.param
    file = tmp_path / "memory.max"
    file.write_text(f"{limit}\n")
    monkeypatch.setattr(tests, "LIMITS", (file, tmp_path / "of another version"))
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sysconf", lambda _: 1 << 18)  # pages of 256 KiB: 64 GiB
    return int(number)


def test_workers_fit_the_memory_of_the_container(
    checkout: Checkout, commands: list[list[str]], workers: int
) -> None:
    """A job of CI is killed where it takes more, and no merge request passes."""
    checkout.lab("test", "unit", "--", "-x")
    assert commands[0][7:-1] == (["-n", str(workers), "--dist", "loadscope"] if workers > 1 else [])


@pytest.mark.parametrize(
    ("words", "workers"), [(["quick"], 2), (["lint", "unit"], 2), (["service"], 4), ([], 4)]
)
def test_what_waits_for_servers_has_more_workers_than_cores(
    checkout: Checkout,
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    workers: int,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    checkout.lab("test", *words)
    assert commands[0][commands[0].index("-n") + 1] == str(workers)


def test_what_is_begun_first_is_there() -> None:
    assert [name for name in LONGEST if not (ROOT / name).exists()] == []


def test_every_tier_of_a_package_is_one() -> None:
    for line in tests.PACKAGES.read_text().splitlines():
        name, *users = line.partition("#")[0].split() or [""]
        assert not name or users, f"{name} names no tier"
        assert set(users) <= set(TIERS), line


def test_only_what_the_tiers_need() -> None:
    assert "maven" in tests.wanted(["service"])
    assert "maven" not in tests.wanted(["unit"])


def test_missing_without_root_says_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests, "missing", lambda _: ["nginx-light", "maven"])
    monkeypatch.setattr("cli.commands.test.os.geteuid", lambda: 1000)
    with pytest.raises(Fault, match=r"apt-get install .*nginx-light maven"):
        tests.install_packages(["service"])


def test_missing_is_what_dpkg_does_not_have() -> None:
    assert tests.missing(["dpkg", "no-such-package-0"]) == ["no-such-package-0"]


def collect(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest over a folder of the test's own with the project's conftest."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "pytest.ini").write_text(
        f"[pytest]\npythonpath = {ROOT}\nmarkers =\n  lint: x\n  unit: x\n  engine: x\n"
        "  service: x\n  long: x\n  slow: x\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_each_test_has_one_tier(tmp_path: Path) -> None:
    for name in ("engine", "anything"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"test_{name}.py").write_text("def test_it():\n    pass\n")
    assert "1 passed, 1 deselected" in collect(tmp_path, "-m", "engine").stdout
    assert "1 passed, 1 deselected" in collect(tmp_path, "-m", "unit").stdout
    assert collect(tmp_path, "-m", "service").returncode == 5


@pytest.mark.slow
def test_two_tiers_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_both.py").write_text(
        "import pytest\n@pytest.mark.unit\n@pytest.mark.engine\ndef test_it():\n    pass\n"
    )
    answer = collect(tmp_path)
    assert answer.returncode == 4
    assert "is in two tiers: engine, unit" in answer.stdout + answer.stderr
