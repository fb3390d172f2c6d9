"""What is slow to make is made once, however many ask for it at the same time."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from toolchain import install
from toolchain.kept import IN_USE_S, cached


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


def test_the_oldest_of_a_kind_go_unless_they_may_be_in_use(cache: Path) -> None:
    """The tests' cache folder had three versions of an image of 1.1 GB, and lost none."""

    def make(kind: str, number: int, hours: float = 0) -> None:
        folder = cached(f"{kind}-{number:012x}", lambda folder: (folder / "file").touch())
        used = time.time() - hours * 3600
        os.utime(folder, (used, used))

    old = 2 * IN_USE_S / 3600
    for number in range(3):
        make("image", number, old + number)
        make("image-other", number, old + number)
    make("image", 1)  # is used again
    make("image", 3)
    make("image-other", 2, 0)
    make("image-other", 4, 0)
    left = sorted(path.name for path in cache.iterdir() if path.name.startswith("image"))
    assert left == [
        *(f"image-{number:012x}" for number in (1, 3)),
        *(f"image-other-{number:012x}" for number in (2, 4)),
    ]
    make("image", 5)
    make("image", 6)
    left = sorted(path.name for path in cache.glob("image-0*"))
    assert left == [f"image-{number:012x}" for number in (1, 3, 5, 6)]
