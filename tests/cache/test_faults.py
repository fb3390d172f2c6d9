"""What breaks around the cache: origins, clients, its disk, itself."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from layers.foundation.cache_files import SLICE_KIB
from tests.cache.origin import Fault, Origin
from tests.cache.running import Answer, Running, running, settings, site
from tests.harness.process import wait_for

pytestmark = pytest.mark.service

MIB = 1 << 20
SLICE = SLICE_KIB * 1024
DEB = "/ubuntu/pool/a.deb"
INDEX = "/ubuntu/dists/noble/InRelease"


def test_many_clients_of_one_miss_fetch_every_byte_once(cache: Running, origin: Origin) -> None:
    """And those who wait get their first bytes long before the file is complete."""
    origin.files[DEB] = content = os.urandom(4 * SLICE + 3)
    origin.faults[DEB] = Fault(rate=8 * MIB)
    begun = time.monotonic()
    answers: list[Answer] = []
    clients = [threading.Thread(target=lambda: answers.append(cache.get(DEB))) for _ in range(32)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    took = time.monotonic() - begun
    assert [answer.body == content for answer in answers] == [True] * 32
    assert origin.sent(DEB) == len(content)
    assert max(answer.first_byte_s for answer in answers) < took


def test_a_client_that_leaves_wastes_nothing(cache: Running, origin: Origin) -> None:
    origin.files[DEB] = content = os.urandom(SLICE)
    origin.faults[DEB] = Fault(rate=16 * MIB)
    with socket.create_connection(("127.0.0.1", cache.site.port)) as client:
        client.sendall(f"GET {DEB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.recv(100)
    wait_for(lambda: origin.sent(DEB) == len(content), what="the fill")
    wait_for(lambda: cache.get(DEB, "HEAD").cache == "HIT", what="the stored file")
    assert cache.get(DEB).body == content
    assert origin.count(DEB) == 1


def test_a_slow_origin_is_waited_for(cache: Running, origin: Origin) -> None:
    origin.files[DEB] = b"deb"
    origin.faults[DEB] = Fault(delay_s=3)
    assert cache.get(DEB).body == b"deb"


@pytest.mark.parametrize("path", [DEB, INDEX])
def test_an_origin_that_hangs_is_stood_in_for(tmp_path: Path, origin: Origin, path: str) -> None:
    cache = settings(ubuntu={"kind": "apt", "url": f"{origin.url}/ubuntu"})
    patience = {"proxy_read_timeout 60s": "proxy_read_timeout 1s"}
    with running(cache, tmp_path, edits=patience) as started:
        origin.files[path] = b"content"
        started.get(path)
        origin.faults[""] = Fault(delay_s=4)
        assert started.get(path).body == b"content"
        assert started.get(f"{path}.deb").status == 504


class TestRestarts:
    """nginx dies without a word."""

    def test_in_the_middle_of_a_fill(self, tmp_path: Path, origin: Origin) -> None:
        where = site(tmp_path)
        cache = settings(ubuntu={"kind": "apt", "url": f"{origin.url}/ubuntu"})
        origin.files[DEB] = content = os.urandom(3 * SLICE)
        with running(cache, tmp_path, where) as first:
            assert first.get(DEB, Range="bytes=0-5").status == 206
            origin.faults[DEB] = Fault(rate=4 * MIB)
            answers: list[Answer] = []
            client = threading.Thread(target=lambda: answers.append(first.get(DEB)))
            client.start()
            wait_for(lambda: any(".0" in file.name for file in first.stored()), what="a part")
            _kill(first)
            client.join()
            assert not answers[0].whole
        origin.faults.clear()
        with running(cache, tmp_path, where) as second:
            assert second.get(DEB).body == content
            origin.stop()
            assert second.get(DEB).body == content

    def test_what_was_stored_is_still_there(self, tmp_path: Path, origin: Origin) -> None:
        where = site(tmp_path)
        cache = settings(ubuntu={"kind": "apt", "url": f"{origin.url}/ubuntu"})
        origin.files.update({DEB: os.urandom(2 * SLICE), INDEX: b"index"})
        with running(cache, tmp_path, where) as first:
            assert first.get(DEB).body == origin.files[DEB]
            assert first.get(INDEX).body == b"index"
        origin.stop()
        with running(cache, tmp_path, where) as second:
            assert second.get(DEB).body == origin.files[DEB]
            assert second.get(INDEX).body == b"index"


class TestDisk:
    """The cache's disk is small, or full."""

    @pytest.fixture
    def small(self, tmp_path: Path, origin: Origin) -> Iterator[Running]:
        """A cache of 12 MiB on a disk of 32 MiB."""
        disk = tmp_path / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", disk], check=True)
        try:
            where = site(tmp_path, cache_dir=str(disk / "packages"))
            cache = settings(ubuntu={"kind": "apt", "url": f"{origin.url}/ubuntu"})
            edits = {"max_size=10g min_free=1g": "max_size=12m"}
            with running(cache, tmp_path, where, edits) as started:
                yield started
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_full(self, small: Running, origin: Origin) -> None:
        """What is stored is served; the rest fails, and comes when there is room again."""
        one, two = "/ubuntu/pool/one.deb", "/ubuntu/pool/two.deb"
        origin.files.update({one: os.urandom(SLICE), two: os.urandom(SLICE)})
        assert small.get(one).body == origin.files[one]
        filler = small.folder / "disk" / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(32 * MIB))
        broken = small.get(two)
        assert not broken.whole
        assert small.get(one).body == origin.files[one]
        filler.unlink()
        assert small.get(two).body == origin.files[two]

    def test_what_is_larger_than_the_cache_passes_through(
        self, small: Running, origin: Origin
    ) -> None:
        origin.files[DEB] = os.urandom(24 * MIB)
        assert small.get(DEB).body == origin.files[DEB]

    def test_the_oldest_go_first(self, small: Running, origin: Origin) -> None:
        """nginx looks at the size every ten seconds at most."""
        paths = [f"/ubuntu/pool/{number}.deb" for number in range(8)]
        origin.files.update({path: os.urandom(2 * MIB) for path in paths})
        for path in paths:
            small.get(path)
        wait_for(lambda: _taken(small) <= 12 * MIB, what="the cache manager")
        assert small.get(paths[-1], "HEAD").cache == "HIT"
        assert small.get(paths[0], "HEAD").cache == "MISS"


def _taken(cache: Running) -> int:
    """Bytes of what is stored, while the cache manager removes some of it."""
    total = 0
    for file in cache.stored():
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def _kill(cache: Running) -> None:
    """SIGKILL for nginx and its workers, which would outlive it."""
    assert cache.process is not None
    pid = cache.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for process in [pid, *map(int, children)]:
        os.kill(process, signal.SIGKILL)
    cache.process.wait()
