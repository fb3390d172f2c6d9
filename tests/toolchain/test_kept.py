"""What is slow to make is made once, however many ask for it at the same time."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from toolchain import install
from toolchain.kept import cached


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setattr(install, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_who_comes_second_waits_for_the_first() -> None:
    """In CI two workers built the same server, with both cores busy for twice as long."""
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.2)
        (folder / "file").touch()

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: cached("thing-1", make), range(4)))
    assert len(made) == 1
    assert [(folder / "file").exists() for folder in found] == [True]


def test_what_failed_is_made_again(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ConnectionError

    with pytest.raises(ConnectionError):
        cached("thing-1", fail)
    assert [path.name for path in cache.iterdir()] == ["locks"]
    folder = cached("thing-1", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]
    assert cached("thing-1", fail) == folder
