"""Every linter of the project over every file that it is for; each finding is a failure."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def files(keep: Callable[[Path], bool]) -> list[str]:
    """Files that git knows or would take, without links, that `keep` accepts."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    paths = [ROOT / name for name in listed if name]
    return [str(path) for path in paths if path.is_file() and not path.is_symlink() and keep(path)]


def is_shell(path: Path) -> bool:
    """Whether a file is a shell script, by its ending or first line; a template is none yet."""
    if path.suffix == ".j2":
        return False
    if path.suffix in {".sh", ".bash"}:
        return True
    with path.open("rb") as file:
        first = file.readline(80)
    return first.startswith(b"#!") and first.split()[-1].rsplit(b"/")[-1] in {b"sh", b"bash"}


def check(tool: str, *arguments: str) -> None:
    """Run a linter; its whole output is the failure."""
    answer = subprocess.run(
        [str(BIN / tool), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, f"{tool}\n{answer.stdout}\n{answer.stderr}"


def test_ruff() -> None:
    check("ruff", "check", ".")


def test_format() -> None:
    check("ruff", "format", "--check", ".")


@pytest.mark.slow
def test_types() -> None:
    check("mypy", ".")


def test_yaml() -> None:
    found = files(lambda path: path.suffix in {".yml", ".yaml"})
    found = [str(Path(name).relative_to(ROOT)) for name in found]  # for yamllint's `ignore`
    assert found
    check("yamllint", "--strict", "-c", "tests/lint/yamllint.yaml", *found)


def test_shell() -> None:
    found = files(is_shell)
    assert found
    check("shellcheck", *found)


def test_dockerfiles() -> None:
    found = files(lambda path: path.name == "Dockerfile" or path.suffix == ".Dockerfile")
    assert found
    check("hadolint", *found)


@pytest.mark.slow
def test_ansible() -> None:
    assert (ROOT / "ansible").is_dir()
    check("ansible-lint", "--profile", "production", "--offline", "ansible")


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["nginx"])
def test_system_tools(tool: str) -> None:
    """The tests of generated configurations call these; without them they would prove nothing."""
    assert shutil.which(tool), f"{tool} is missing; ./lab test installs it"


def test_no_stack_file_is_a_copy() -> None:
    """Pulumi makes a regular file, and runs on it, where the link to the one file is missing."""
    links = sorted(ROOT.glob("stacks/Pulumi.*-*.yaml"))
    assert len(links) == 8
    assert [link.name for link in links if not link.is_symlink()] == []
