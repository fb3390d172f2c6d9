"""Upstreams with a login: who gets the password, and who does not."""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from layers.foundation.cache_files import SLICE_KIB
from tests.cache.names import context, resolver
from tests.cache.origin import Fault, Origin
from tests.cache.origin import origin as make_origin
from tests.cache.running import PASSWORD, Running, running, settings, site
from tests.harness.certificates import Authority

pytestmark = pytest.mark.service

WORD = base64.b64encode(f"someone:{PASSWORD}".encode()).decode()
PAGE, WHEEL = "/simple/thing/", "/files/thing.whl"
SLICE = SLICE_KIB * 1024
HOSTS = {"private": "index.example", "storage": "storage.example", "linked": "files.example"}
Hosts = dict[str, Origin]
Start = Callable[..., Running]


@pytest.fixture
def tls(tmp_path: Path) -> Any:
    authority = Authority()
    (tmp_path / "ca.crt").write_text(authority.pem)
    return context(authority.server(*HOSTS.values()), tmp_path)


@pytest.fixture
def hosts(tls: Any) -> Iterator[Hosts]:
    """An index that wants a login, a storage that it redirects to, and a host that it links to."""
    with ExitStack() as stack:
        made = {name: stack.enter_context(make_origin(tls=tls)) for name in HOSTS}
        made["private"].authorization = f"Basic {WORD}"
        yield made


def _url(hosts: Hosts, name: str) -> str:
    return f"https://{HOSTS[name]}:{hosts[name].port}"


@pytest.fixture
def start(tmp_path: Path, hosts: Hosts) -> Iterator[Start]:
    """Starts a cache of the index as `private`, with other settings where they are given."""
    with ExitStack() as stack:

        def begin(**more: Any) -> Running:
            where = site(
                tmp_path,
                resolvers=[stack.enter_context(resolver())],
                ca_file=str(tmp_path / "ca.crt"),
            )
            index = {
                "kind": "pypi",
                "url": f"{_url(hosts, 'private')}/simple",
                "redirects": [_url(hosts, "storage")],
                "files": [_url(hosts, "linked")],
            }
            cache = settings(private={**index, "user": "someone", **more}, public=index)
            return stack.enter_context(running(cache, tmp_path, where))

        yield begin


def _told(origin: Origin) -> list[str | None]:
    return [request.headers.get("authorization") for request in origin.requests]


def test_the_upstream_alone_gets_it(start: Start, hosts: Hosts, tmp_path: Path) -> None:
    """Not what it redirects to, whose signed address refuses a second login, nor links to."""
    wheel = os.urandom(SLICE + 7)
    hosts["private"].files[PAGE] = b"page"
    hosts["private"].files["/files/moved.whl"] = b"moved"
    hosts["private"].faults[WHEEL] = Fault(
        status=302, location=f"{_url(hosts, 'storage')}/bucket/thing?signed=1"
    )
    hosts["private"].faults["/files/old.whl"] = Fault(status=302, location="/files/moved.whl")
    hosts["storage"].files["/bucket/thing"] = wheel
    hosts["linked"].files["/thing.whl"] = b"linked"
    linked = f"/private/~{HOSTS['linked']}_{hosts['linked'].port}/thing.whl"
    cache = start()
    for _ in "again":
        assert cache.get(f"/private{PAGE}").body == b"page"
        assert cache.get(f"/private{WHEEL}").body == wheel
        assert cache.get("/private/files/old.whl").body == b"moved"
        assert cache.get(linked).body == b"linked"
    assert set(_told(hosts["private"])) == {f"Basic {WORD}"}
    for name in ("storage", "linked"):
        assert set(_told(hosts[name])) == {None}
    # One of these slices was fetched for all of them: the login is no part of a key.
    assert hosts["storage"].count("/bucket/thing") == 2
    written = [path for path in (tmp_path / "log").iterdir() if path.is_file()]
    for file in [*written, *cache.stored(), tmp_path / "nginx.conf"]:
        assert WORD.encode() not in file.read_bytes()


def test_a_redirect_back_gets_it_and_on_does_not(start: Start, hosts: Hosts) -> None:
    hosts["private"].faults[WHEEL] = Fault(status=302, location=f"{_url(hosts, 'storage')}/one")
    hosts["storage"].faults["/one"] = Fault(
        status=302, location=f"{_url(hosts, 'private')}/files/two.whl"
    )
    hosts["private"].faults["/files/two.whl"] = Fault(
        status=302, location=f"{_url(hosts, 'storage')}/three"
    )
    hosts["storage"].files["/three"] = b"three"
    assert start().get(f"/private{WHEEL}").body == b"three"
    assert _told(hosts["private"]) == [f"Basic {WORD}"] * 2
    assert _told(hosts["storage"]) == [None] * 2


def test_no_client_has_part_in_it(start: Start, hosts: Hosts) -> None:
    """Another upstream of the same host does not get it, nor does a client's own pass."""
    hosts["private"].files[PAGE] = b"page"
    cache = start()
    right = {"Authorization": f"Basic {WORD}"}
    assert cache.get(f"/private{PAGE}", Authorization="Basic bWluZQ==").body == b"page"
    refused = cache.get(f"/public{PAGE}", **right)
    assert refused.status == 502
    assert _told(hosts["private"]) == [f"Basic {WORD}", None]
    assert "Authorization" not in cache.get(f"/private{PAGE}").headers


def test_a_refused_login_leaves_what_is_stored(start: Start, hosts: Hosts) -> None:
    """And pip is not asked for another one: it would be the cache's, over plain HTTP."""
    hosts["private"].files.update({PAGE: b"page", WHEEL: b"wheel"})
    cache = start(index_ttl_s=0)
    assert cache.get(f"/private{PAGE}").body == b"page"
    hosts["private"].authorization = "Basic bmV3"
    again = cache.get(f"/private{PAGE}")
    assert (again.body, again.cache) == (b"page", "STALE")
    refused = cache.get(f"/private{WHEEL}")
    assert refused.status == 502
    hosts["private"].authorization = f"Basic {WORD}"
    assert cache.get(f"/private{WHEEL}").body == b"wheel"
