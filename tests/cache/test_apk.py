"""Packages of a signed apk repository, installed through the cache by an apk client (#10.22)."""

import os
import time
from pathlib import Path

import pytest

from layers.foundation.cache_files import SLICE_KIB
from tests.cache.apk import ARCH, Repository, add
from tests.cache.conftest import Start
from tests.cache.origin import Fault, Origin
from tests.cache.running import Running

pytestmark = pytest.mark.service

PREFIX = "/alpine/v3.22/main"
LARGE = os.urandom(SLICE_KIB * 1024 + 100_000)


@pytest.fixture
def repository(tmp_path: Path, origin: Origin) -> Repository:
    """A tool and the library that it needs, which is longer than a slice."""
    made = Repository(tmp_path / "repository", PREFIX)
    _publish(made, origin, "1.0-r0")
    return made


def _publish(repository: Repository, origin: Origin, version: str) -> None:
    tool = repository.package(
        "tool", version, {"usr/bin/tool": version.encode()}, needs=["so:library"]
    )
    library = repository.package("library", version, {"usr/lib/library": LARGE})
    provided = type(library)(library.file, library.content, f"{library.stanza}p:so:library=1\n")
    origin.files.update(repository.publish([tool, provided]))


@pytest.fixture
def cache(start: Start, origin: Origin) -> Running:
    """A cache of Alpine's archive, whose indexes are asked about after a second."""
    return start(alpine={"kind": "apk", "url": f"{origin.url}/alpine", "index_ttl_s": 1})


def _install(root: Path, cache: Running, repository: Repository) -> str:
    """The version of the tool that an installation into `root` brings, with what it needs."""
    done = add(root, f"{cache.url}{PREFIX}", repository.key, "tool")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "usr/lib/library").read_bytes() == LARGE
    known = (root / "lib/apk/db/installed").read_text()
    assert {"P:tool", "P:library"} <= set(known.splitlines())
    return (root / "usr/bin/tool").read_text()


def test_install_and_again_without_an_origin(
    tmp_path: Path, cache: Running, origin: Origin, repository: Repository
) -> None:
    assert _install(tmp_path / "one", cache, repository) == "1.0-r0"
    for package in ("tool", "library"):
        path = f"{PREFIX}/{ARCH}/{package}-1.0-r0.apk"
        assert origin.sent(path) == len(origin.files[path])
    origin.stop()
    assert _install(tmp_path / "two", cache, repository) == "1.0-r0"


def test_an_update_is_seen(
    tmp_path: Path, cache: Running, origin: Origin, repository: Repository
) -> None:
    assert _install(tmp_path / "one", cache, repository) == "1.0-r0"
    _publish(repository, origin, "1.1-r0")
    time.sleep(2.1)
    assert _install(tmp_path / "two", cache, repository) == "1.1-r0"


def test_a_forged_index_is_refused_and_not_for_long(
    tmp_path: Path, cache: Running, origin: Origin, repository: Repository
) -> None:
    """The cache checks no signature and takes none away."""
    right = dict(origin.files)
    stranger = Repository(tmp_path / "stranger", PREFIX)
    _publish(stranger, origin, "6.6-r6")
    done = add(tmp_path / "one", f"{cache.url}{PREFIX}", repository.key, "tool")
    assert done.returncode != 0
    assert "verif" in done.stderr
    assert not (tmp_path / "one/usr/bin/tool").exists()
    origin.files.update(right)
    time.sleep(2.1)
    assert _install(tmp_path / "two", cache, repository) == "1.0-r0"


def test_half_a_package_is_not_kept(
    tmp_path: Path, cache: Running, origin: Origin, repository: Repository
) -> None:
    origin.faults[f"{PREFIX}/{ARCH}/library-1.0-r0.apk"] = Fault(cut=500_000)
    assert add(tmp_path / "one", f"{cache.url}{PREFIX}", repository.key, "tool").returncode != 0
    origin.faults.clear()
    assert _install(tmp_path / "two", cache, repository) == "1.0-r0"
