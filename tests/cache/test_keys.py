"""No client can put one thing where another is stored, or an error where something good is."""

import http.client
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import product

import pytest

from layers.foundation.cache_files import SLICE_KIB
from tests.cache.conftest import Start
from tests.cache.origin import Fault, Origin
from tests.cache.running import Running

pytestmark = pytest.mark.service

SLICE = SLICE_KIB * 1024
JSON = "application/vnd.pypi.simple.v1+json"
PACKUMENT = "application/vnd.npm.install-v1+json"
EVIL = b"evil"
# Path -> what is good there, one or more of each kind of key.
FILES = {
    "/ubuntu/pool/x.deb": os.urandom(2 * SLICE + 5),
    "/ubuntu/dists/noble/main/binary-amd64/by-hash/SHA256/0123abcd": b"by-hash",
    "/alpine/v3.22/main/x86_64/a-1-r0.apk": b"apk",
    "/plugins/pulumi-resource-random-v4.tar.gz": b"plugin",
    "/images/current.img": os.urandom(SLICE + 5),
    "/pypi/files/idna-3.whl": b"wheel",
    "/npm/left-pad/-/left-pad-1.3.0.tgz": b"tarball",
}
KEPT = {
    "/alpine/v3.22/main/x86_64/APKINDEX.tar.gz": b"apkindex",
    "/pypi/simple/idna/": b"page",
    "/npm/left-pad": b"packument",
}
# Asked about every time, so an origin's 404 for them is its word.
ASKED = {
    "/ubuntu/dists/noble/InRelease": b"release",
    "/ubuntu/dists/noble/main/binary-amd64/Packages": b"packages",
    "/ubuntu/other": b"other",
}
GOOD = {**FILES, **KEPT, **ASKED}
BARS = ("|", "%7C", "%7c", "%257C", "?|", "?", "#|", ";", "%20", "%09", "%0a", "%00", "\\")
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Range": "bytes=0-"},
    {"Range": f"bytes={SLICE}-"},
    {"Range": f"BYTES={SLICE}-"},
    {"Range": f"bytes={SLICE}|"},
    {"Range": f"bytes= {SLICE}-{SLICE}|bytes=0-{SLICE - 1}|"},
    {"Range": f"bytes=0-{SLICE - 1}|"},
    {"Range": f"bytes={10 * SLICE}-"},
    {"Range": "bytes=-1"},
    {"Range": "bytes=0-0, 5-6"},
    {"Range": f"bytes={SLICE}-", "If_Range": f"|bytes=0-{SLICE - 1}|"},
    {"Accept": f"{JSON}|*/*"},
    {"Accept": "*/*|"},
    {"Accept": PACKUMENT},
    {"Host": "evil.example"},
    {"Via": "1.1 evil|"},
    {"X_Version": "evil|", "X_Release": "STALE"},
    {"X_Accel_Expires": "9", "If_None_Match": "*", "If_Modified_Since": "x"},
)


@pytest.fixture
def kinds(start: Start, origin: Origin) -> Iterator[Running]:
    """A cache of every kind that stores something, full of what is good."""
    own = origin.url
    made = start(
        ubuntu={"kind": "apt", "url": f"{own}/ubuntu"},
        alpine={"kind": "apk", "url": f"{own}/alpine"},
        plugins={"kind": "pulumi", "url": f"{own}/plugins"},
        images={"kind": "files", "url": f"{own}/images"},
        pypi={"kind": "pypi", "url": f"{own}/simple"},
        npm={"kind": "npm", "url": own},
    )
    linking = ("/pypi/", "/npm/")
    for path, content in GOOD.items():
        origin.files[path.removeprefix("/pypi").removeprefix("/npm")] = content
        if path.startswith(linking):
            origin.files[path] = EVIL
    _all_good(made)
    yield made
    assert "[alert]" not in made.errors()


def _all_good(cache: Running, paths: dict[str, bytes] = GOOD) -> None:
    """Every client but the attacker gets what is right, whole and from within."""
    for path, content in paths.items():
        answer = cache.get(path)
        assert (answer.status, answer.body == content, answer.whole) == (200, True, True), path
        if len(content) > SLICE:
            inside = cache.get(path, Range=f"bytes={SLICE}-")
            assert (inside.status, inside.body == content[SLICE:]) == (206, True), path


def _keys(cache: Running) -> set[str]:
    """What is stored, by nginx's own files."""
    found = set()
    for file in cache.stored():
        key = re.search(rb"^KEY: (.*)$", file.read_bytes(), re.MULTILINE)
        assert key is not None
        found.add(key[1].decode())
    return found


def _forged(cache: Running) -> set[str]:
    """Paths that are the keys of what is stored, as a whole and in part, joined in every way."""
    made = set()
    for key in _keys(cache):
        words = key[key.index("/") :].split("|")
        for end, bar in product(range(1, len(words) + 1), BARS):
            made |= {bar.join(words[:end]), bar.join(words[:end]) + bar}
    return {path for path in made if not re.search(r"\s", path)} - set(GOOD)


def _status(cache: Running, target: str, headers: Mapping[str, str]) -> int:
    """Of a request whose target is sent as it is: urllib would keep what follows a `#`."""
    with closing(http.client.HTTPConnection("127.0.0.1", cache.site.port, timeout=60)) as made:
        made.request("GET", target, headers={**headers, "Connection": "close"})
        answer = made.getresponse()
        answer.read()
        return answer.status


@pytest.mark.parametrize("found", [True, False], ids=["evil", "absent"])
def test_a_path_that_reads_like_a_key_is_another_thing(
    kinds: Running, origin: Origin, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`x.deb|bytes=0-3145727` was x.deb's first slice (#10.18)."""
    files = dict(origin.files)

    def read(path: str) -> bytes | None:
        return files.get(path, EVIL if found else None)

    monkeypatch.setattr(origin, "read", read)
    before = _keys(kinds)
    forged = _forged(kinds)
    assert len(forged) > 100
    for path in sorted(forged):
        for headers in ({"Cache-Control": "no-cache"}, {}):
            status = _status(kinds, path, headers)
            assert ("|" not in path) or status == 400
    _all_good(kinds)
    assert before <= _keys(kinds)


def test_no_header_reaches_another_entry(kinds: Running) -> None:
    for path, headers in product(GOOD, HEADERS):
        for more in ({}, {"Cache_Control": "no-cache"}):
            kinds.get(path, **headers, **more)
    _all_good(kinds)
    version = re.compile(r"file\|[^|]+\|bytes=(?!0-)\d+-\d+\|$")
    assert [key for key in _keys(kinds) if version.fullmatch(key)] == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 429, 500, 503])
def test_no_client_replaces_what_is_good_by_an_error(
    kinds: Running, origin: Origin, status: int
) -> None:
    """`Cache-Control: no-cache` while the origin is unwell is the asker's own loss."""
    origin.faults[""] = Fault(status=status)
    for path, method in product(GOOD, ("GET", "HEAD")):
        kinds.get(path, method, Cache_Control="no-cache")
        kinds.get(path, method, Cache_Control="no-cache", Range=f"bytes={SLICE}-")
    _all_good(kinds, {**FILES, **KEPT})
    origin.faults.clear()
    _all_good(kinds)


@pytest.mark.parametrize("status", [201, 203, 204])
def test_an_answer_without_a_file_is_not_kept(kinds: Running, origin: Origin, status: int) -> None:
    origin.faults[""] = Fault(status=status)
    for path in GOOD:
        kinds.get(f"{path}.deb", Cache_Control="no-cache")
    assert not [key for key in _keys(kinds) if ".deb.deb" in key or "/other.deb" in key]
    origin.faults.clear()
    _all_good(kinds)
