"""What is kept, for how long, and what is passed on."""

import os
import threading
import time

import pytest

from layers.foundation.cache_files import SLICE_KIB
from tests.cache.conftest import Start
from tests.cache.origin import Fault, Origin
from tests.cache.origin import origin as make_origin
from tests.cache.running import Answer, Running
from tests.harness.process import wait_for

pytestmark = pytest.mark.service

MIB = 1 << 20
SLICE = SLICE_KIB * 1024
DEB = "/ubuntu/pool/main/a.deb"
PACKAGES = "/ubuntu/dists/noble/main/binary-amd64/Packages"
INDEX = "/ubuntu/dists/noble/InRelease"


class TestFiles:
    """Files that never change under their name."""

    @pytest.mark.parametrize(
        "path",
        [
            DEB,
            "/ubuntu/dists/noble/main/binary-amd64/by-hash/SHA256/0123abcd",
            "/ubuntu/pool/main/a_1.dsc",
            "/ubuntu/pool/main/a_1.orig.tar.xz",
            "/alpine/v3.22/main/x86_64/a-1-r0.apk",
            "/plugins/pulumi-resource-random-v4.tar.gz",
            "/plugins/someone/pulumi-thing/releases/download/v4.0.0/pulumi-resource-thing.tar.gz",
            "/plugins/org/silo/releases/download/RELEASE.2026-09-16T00-00-00Z/silo.tar.gz",
        ],
    )
    def test_once_fetched_they_need_no_origin(
        self, cache: Running, origin: Origin, path: str
    ) -> None:
        origin.files[path] = content = os.urandom(SLICE + 5)
        assert cache.get(path).body == content
        origin.stop()
        again = cache.get(path)
        assert (again.status, again.cache, again.body) == (200, "HIT", content)

    @pytest.mark.parametrize(
        "path",
        [
            "/plugins/org/repo/archive/refs/heads/main.tar.gz",
            "/plugins/org/repo/releases/latest/download/tool.tar.gz",
            "/plugins/org/repo/releases/download/nightly/tool.tar.gz",
            "/plugins/org/repo/raw/main/install.sh",
            "/plugins/org/repo/releases/download/v4/../../latest/download/tool.tar.gz",
            "/plugins/latest-version",
        ],
    )
    def test_what_may_change_is_not_taken_for_a_plugin(
        self, cache: Running, origin: Origin, path: str
    ) -> None:
        """It was kept for a year, whatever became of it upstream."""
        origin.files[path] = b"of today"
        assert cache.get(path).status in (400, 404)
        assert not origin.requests

    @pytest.mark.parametrize("size", [1, SLICE - 1, SLICE, SLICE + 1, 3 * SLICE])
    def test_every_byte_is_fetched_once(self, cache: Running, origin: Origin, size: int) -> None:
        origin.files[DEB] = content = os.urandom(size)
        for _ in range(3):
            assert cache.get(DEB).body == content
        assert origin.sent(DEB) == size

    @pytest.mark.parametrize("first", [0, 1, SLICE - 1, SLICE, 2 * SLICE + 7])
    def test_a_download_can_be_resumed(self, cache: Running, origin: Origin, first: int) -> None:
        origin.files[DEB] = content = os.urandom(3 * SLICE)
        rest = cache.get(DEB, Range=f"bytes={first}-")
        assert (rest.status, rest.body) == (206, content[first:])
        changed = rest.headers["Last-Modified"]
        rest = cache.get(DEB, Range=f"bytes={first}-", If_Range=changed)
        assert (rest.status, rest.body) == (206, content[first:])
        other = cache.get(DEB, Range=f"bytes={first}-", If_Range='"another version"')
        assert (other.status, other.body) == (200, content)
        assert cache.get(DEB).body == content
        assert origin.sent(DEB) == len(content)

    def test_an_origin_without_ranges_will_do(self, cache: Running, origin: Origin) -> None:
        origin.faults[DEB] = Fault(ranges=False)
        origin.files[DEB] = content = os.urandom(2 * SLICE)
        assert cache.get(DEB).body == content
        assert cache.get(DEB).cache == "HIT"
        inside = cache.get(DEB, Range="bytes=5000000-")
        assert (inside.status, inside.body) in {(200, content), (206, content[5_000_000:])}

    def test_head_is_answered_from_the_stored_file(self, cache: Running, origin: Origin) -> None:
        origin.files[DEB] = b"x" * 1000
        assert cache.get(DEB, "HEAD").headers["Content-Length"] == "1000"
        assert cache.get(DEB).cache == "HIT"

    def test_no_cache_fetches_again(self, cache: Running, origin: Origin) -> None:
        origin.files[DEB] = b"old"
        cache.get(DEB)
        origin.files[DEB] = b"new"
        assert cache.get(DEB).body == b"old"
        assert cache.get(DEB, Cache_Control="no-cache").body == b"new"
        assert cache.get(DEB).body == b"new"

    def test_two_upstreams_with_the_same_path_are_two_files(
        self, start: Start, origin: Origin
    ) -> None:
        with make_origin() as other:
            cache = start(
                one={"kind": "apt", "url": origin.url}, two={"kind": "apt", "url": other.url}
            )
            origin.files["/a.deb"], other.files["/a.deb"] = b"one", b"two"
            assert cache.get("/one/a.deb").body == b"one"
            assert cache.get("/two/a.deb").body == b"two"

    def test_the_clients_name_for_the_cache_is_in_no_key(
        self, cache: Running, origin: Origin
    ) -> None:
        origin.files[DEB] = b"deb"
        cache.get(DEB, Host="cache.lab.home.arpa")
        assert cache.get(DEB, Host="localhost").cache == "HIT"

    def test_escaped_names_reach_the_origin_as_they_are(
        self, cache: Running, origin: Origin
    ) -> None:
        """S3 reads a plus sign as a space, so apt escapes it."""
        origin.files["/ubuntu/pool/libstdc++6.deb"] = b"deb"
        assert cache.get("/ubuntu/pool/libstdc%2b%2b6.deb").body == b"deb"


class TestIndexes:
    """What changes under its name."""

    def test_apt_is_asked_about_every_time(self, cache: Running, origin: Origin) -> None:
        origin.files[INDEX] = b"1"
        assert cache.get(INDEX).cache == "MISS"
        again = cache.get(INDEX)
        assert (again.cache, origin.requests[-1].status) == ("REVALIDATED", 304)
        origin.files[INDEX] = b"2"
        assert cache.get(INDEX).body == b"2"

    def test_a_ttl_saves_asking(self, start: Start, origin: Origin) -> None:
        cache = start(alpine={"kind": "apk", "url": f"{origin.url}/alpine", "index_ttl_s": 1})
        path = "/alpine/x86_64/APKINDEX.tar.gz"
        origin.files[path] = b"1"
        assert [cache.get(path).cache for _ in range(2)] == ["MISS", "HIT"]
        origin.files[path] = b"2"
        wait_for(lambda: cache.get(path).body == b"2", what="the new index")

    @pytest.mark.parametrize("broken", [429, 500, 502, 503, 504, "dead"])
    def test_a_broken_origin_is_stood_in_for(
        self, cache: Running, origin: Origin, broken: int | str
    ) -> None:
        origin.files[INDEX] = b"index"
        cache.get(INDEX)
        if isinstance(broken, int):
            origin.faults[""] = Fault(status=broken)
        else:
            origin.stop()
        stale = cache.get(INDEX)
        assert (stale.status, stale.cache, stale.body) == (200, "STALE", b"index")

    def test_what_was_withdrawn_is_gone(self, cache: Running, origin: Origin) -> None:
        origin.files[INDEX] = b"index"
        cache.get(INDEX)
        del origin.files[INDEX]
        assert cache.get(INDEX).status == 404

    def test_an_index_is_not_served_under_another_release(
        self, cache: Running, origin: Origin
    ) -> None:
        """The origin dies after its new InRelease was fetched and before its Packages was."""
        packages = "/ubuntu/dists/noble/main/binary-amd64/Packages"
        origin.files.update({INDEX: b"release 1", packages: b"packages 1"})
        assert (cache.get(INDEX).body, cache.get(packages).body) == (b"release 1", b"packages 1")
        origin.files.update({INDEX: b"release 2", packages: b"packages 2"})
        assert cache.get(INDEX).body == b"release 2"
        origin.stop()
        assert cache.get(INDEX).body == b"release 2"
        assert cache.get(packages).status in {502, 503}

    def test_release_and_index_are_stale_together(self, cache: Running, origin: Origin) -> None:
        """An origin that fails now and then must not give a new index with an old release."""
        packages = "/ubuntu/dists/noble/main/binary-amd64/Packages"
        origin.files.update({INDEX: b"release 1", packages: b"packages 1"})
        cache.get(INDEX)
        cache.get(packages)
        origin.files.update({INDEX: b"release 2", packages: b"packages 2"})
        origin.faults[INDEX] = Fault(status=500)
        assert (cache.get(INDEX).body, cache.get(packages).body) == (b"release 1", b"packages 1")

    def test_large_files_that_may_change_are_followed(self, cache: Running, origin: Origin) -> None:
        """Kind `files`: an image called `current` is replaced now and then."""
        path = "/images/current.img"
        origin.files[path] = old = os.urandom(2 * SLICE + 9)
        assert cache.get(path).body == old
        origin.files[path] = new = os.urandom(2 * SLICE + 9)
        time.sleep(0.1)
        assert cache.get(path, Cache_Control="no-cache").body == new
        assert cache.get(path).body == new


class TestErrors:
    """Nothing wrong is kept for long."""

    def test_an_absent_index_is_asked_for_again_soon(self, cache: Running, origin: Origin) -> None:
        assert [cache.get(PACKAGES).status for _ in range(3)] == [404] * 3
        assert origin.count(PACKAGES) == 1
        origin.files[PACKAGES] = b"packages"
        wait_for(lambda: cache.get(PACKAGES).body == b"packages", what="the index, after 10 s")

    @pytest.mark.parametrize("path", [DEB, "/images/current.img"])
    def test_an_absent_file_is_absent_from_within_too(
        self, cache: Running, origin: Origin, path: str
    ) -> None:
        """And there as soon as the origin has it."""
        assert cache.get(path).status == 404
        assert [cache.get(path, Range="bytes=10-").status for _ in range(2)] == [404] * 2
        origin.files[path] = b"0123456789rest"
        assert cache.get(path, Range="bytes=10-").body == b"rest"

    @pytest.mark.parametrize("status", [404, 410])
    def test_an_index_without_its_release(
        self, cache: Running, origin: Origin, status: int
    ) -> None:
        origin.files[PACKAGES] = b"packages"
        origin.faults[INDEX] = Fault(status=status)
        for _ in range(2):
            assert cache.get(INDEX).status == status
            assert cache.get(PACKAGES).body == b"packages"

    @pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
    def test_errors_are_not_kept(self, cache: Running, origin: Origin, status: int) -> None:
        origin.files[DEB] = b"deb"
        origin.faults[DEB] = Fault(status=status)
        assert cache.get(DEB).status == status
        del origin.faults[DEB]
        assert cache.get(DEB).body == b"deb"

    @pytest.mark.parametrize("length", [True, False], ids=["announced", "not-announced"])
    @pytest.mark.parametrize("path", [DEB, INDEX])
    def test_half_a_body_is_not_kept(
        self, cache: Running, origin: Origin, path: str, length: bool
    ) -> None:
        """Without Content-Length nobody can tell, so such a body is never kept."""
        origin.files[path] = content = os.urandom(300_000)
        origin.faults[path] = Fault(cut=100_000, length=length)
        assert cache.get(path).body != content
        origin.faults.clear()
        whole = cache.get(path)
        assert (whole.body, whole.cache) == (content, "MISS")

    def test_a_break_in_a_later_slice_costs_only_that_slice(
        self, cache: Running, origin: Origin
    ) -> None:
        origin.files[DEB] = content = os.urandom(2 * SLICE)
        cache.get(DEB, Range="bytes=0-10")
        origin.faults[DEB] = Fault(cut=100_000)
        broken = cache.get(DEB)
        assert not broken.whole
        assert content.startswith(broken.body)
        origin.faults.clear()
        assert cache.get(DEB).body == content
        assert origin.sent(DEB) <= len(content) + 100_000

    def test_nothing_is_not_kept(self, cache: Running, origin: Origin) -> None:
        """Seen: a registry that answered 200 with no byte while it was restarted."""
        origin.files[INDEX] = b""
        assert cache.get(INDEX).body == b""
        origin.files[INDEX] = b"index"
        assert cache.get(INDEX).cache == "MISS"

    def test_no_origin_and_nothing_stored_is_an_error(self, cache: Running, origin: Origin) -> None:
        origin.stop()
        assert cache.get(DEB).status == 502
        assert cache.get(INDEX).status == 502


class TestChanges:
    """A file changes although it never should."""

    def test_versions_are_not_mixed_and_the_new_one_comes(
        self, cache: Running, origin: Origin
    ) -> None:
        origin.files[DEB] = old = os.urandom(3 * SLICE)
        cache.get(DEB, Range="bytes=0-10")
        origin.files[DEB] = new = os.urandom(3 * SLICE)
        broken = cache.get(DEB)
        assert not broken.whole
        assert old.startswith(broken.body)
        # Who asks at once may be told of the old version once more.
        wait_for(lambda: cache.get(DEB).body == new)

    @pytest.mark.parametrize("etag", [True, False])
    def test_in_the_middle_of_a_download(self, cache: Running, origin: Origin, etag: bool) -> None:
        """Without an ETag the time of change tells versions apart."""
        origin.files[DEB] = old = os.urandom(4 * SLICE)
        origin.faults[DEB] = Fault(rate=4 * MIB, etag=etag)
        answers: list[Answer] = []
        client = threading.Thread(target=lambda: answers.append(cache.get(DEB)))
        client.start()
        wait_for(lambda: any(".0" in file.name for file in cache.stored()), what="a part")
        origin.files[DEB] = new = os.urandom(4 * SLICE)
        client.join()
        assert not answers[0].whole
        assert old.startswith(answers[0].body)
        origin.faults[DEB] = Fault(etag=etag)
        # Who asks at once may be told of the old version once more.
        wait_for(lambda: cache.get(DEB).body == new)

    def test_many_clients_see_only_whole_versions(self, cache: Running, origin: Origin) -> None:
        versions = [os.urandom(2 * SLICE + 11) for _ in range(6)]
        origin.files[DEB] = versions[0]
        answers: list[Answer] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answers.append(cache.get(DEB))

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        wait_for(lambda: any(answer.whole for answer in answers), what="a whole version")
        for version in versions[1:]:
            time.sleep(0.4)
            origin.files[DEB] = version
            cache.get(DEB, "HEAD", Cache_Control="no-cache")
        stop.set()
        for client in clients:
            client.join()
        whole = [answer.body for answer in answers if answer.whole]
        assert whole
        assert all(body in versions for body in whole)
        # Who asks at once may be told of the old version once more.
        wait_for(lambda: cache.get(DEB).body == versions[-1])
