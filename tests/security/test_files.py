"""Nobody else on this computer reads what `./lab` writes of a lab's state."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.lib import state
from toolchain import files, install

STATE = '{"deployment": {"resources": []}}'


class Engine:
    """Exports a state."""

    def capture(self, *_: str) -> str:
        """What `pulumi stack export` says."""
        return STATE


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    """A person whose new files everybody may read and change."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Who may do what with it."""
    return stat.S_IMODE(path.stat().st_mode)


def keep(folder: Path) -> Path:
    """Export a state into a folder; the copy."""
    state.keep_copy(Engine(), "lab-foundation", folder)  # type: ignore[arg-type]
    return state.copy_file("lab-foundation", folder)


def test_the_rescued_state_and_its_folder_are_its_owners_alone(tmp_path: Path) -> None:
    copy = keep(tmp_path / "rescue")
    keep(tmp_path / "rescue")
    assert mode(copy.parent) == 0o700
    assert {path: mode(path) for path in copy.parent.iterdir()} == {
        copy: 0o600,
        state.previous(copy): 0o600,
    }


def test_a_folder_that_an_earlier_release_left_open_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "ROOT", tmp_path)
    folder = tmp_path / ".state/rescue"
    folder.mkdir(parents=True, mode=0o755)
    keep(Path(".state/rescue"))
    assert mode(folder) == 0o700


def test_a_persons_own_folder_stays_as_open_as_it_was(tmp_path: Path) -> None:
    """A program that makes backups may read its names; the files are closed."""
    folder = tmp_path / "backups"
    folder.mkdir(mode=0o755)
    assert mode(keep(folder)) == 0o600
    assert mode(folder) == 0o755


@pytest.mark.parametrize(("wanted", "folder"), [(0o600, 0o700), (0o644, 0o777)])
def test_a_secrets_folder_is_as_closed_as_the_file(
    tmp_path: Path, wanted: int, folder: int
) -> None:
    files.replace(tmp_path / "new/file", b"secret", wanted)
    assert mode(tmp_path / "new") == folder
    assert mode(tmp_path / "new/file") == wanted
