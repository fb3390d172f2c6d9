"""Whom the cache asks, what it tells them, and what it lets them do."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from layers.foundation.cache_files import SLICE_KIB, identity
from settings.foundation.cache import Cache
from tests.cache.conftest import Start
from tests.cache.names import context, resolver
from tests.cache.origin import Fault, Origin
from tests.cache.origin import origin as make_origin
from tests.cache.running import Running, running, settings, site
from tests.harness.certificates import Authority

pytestmark = pytest.mark.service

DEB = "/ubuntu/pool/a.deb"
INDEX = "/ubuntu/dists/noble/InRelease"
SLICE = SLICE_KIB * 1024


class TestRedirects:
    """They are followed on the server, and only to hosts of the settings."""

    @pytest.fixture
    def storage(self) -> Iterator[Origin]:
        with make_origin() as made:
            yield made

    @pytest.fixture
    def allowed(self, start: Start, origin: Origin, storage: Origin) -> Running:
        return start(
            ubuntu={"kind": "apt", "url": f"{origin.url}/ubuntu", "redirects": [storage.url]}
        )

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("path", [DEB, INDEX])
    def test_to_an_allowed_host(
        self, allowed: Running, origin: Origin, storage: Origin, path: str, status: int
    ) -> None:
        storage.files["/bucket/x"] = content = os.urandom(SLICE + 7)
        origin.faults[path] = Fault(status=status, location=f"{storage.url}/bucket/x?key=1")
        assert allowed.get(path).body == content
        origin.stop()
        storage.stop()
        again = allowed.get(path)
        assert again.body == content
        assert "Location" not in again.headers

    def test_through_several_to_a_relative_one(
        self, allowed: Running, origin: Origin, storage: Origin
    ) -> None:
        origin.faults[DEB] = Fault(status=302, location="/ubuntu/next")
        origin.faults["/ubuntu/next"] = Fault(status=302, location=f"{storage.url}/one")
        storage.faults["/one"] = Fault(status=302, location="/two")
        storage.files["/two"] = b"deb"
        assert allowed.get(DEB).body == b"deb"

    @pytest.mark.parametrize(
        "other",
        [
            "{other}/x",
            "//{other_host}/x",
            "{storage}@{other_host}/x",
            "{storage}.{other_host}/x",
            "x",
            "",
            "file:///etc/passwd",
        ],
    )
    def test_not_elsewhere(
        self, allowed: Running, origin: Origin, storage: Origin, other: str
    ) -> None:
        with make_origin() as stranger:
            stranger.files["/x"] = b"stranger"
            host = stranger.url.removeprefix("http://")
            location = other.format(other=stranger.url, other_host=host, storage=storage.url)
            origin.faults[DEB] = Fault(status=302, location=location)
            assert allowed.get(DEB).status == 502
            assert stranger.requests == []
        del origin.faults[DEB]
        origin.files[DEB] = b"deb"
        assert allowed.get(DEB).body == b"deb"

    def test_not_in_a_circle(self, allowed: Running, origin: Origin) -> None:
        origin.faults[DEB] = Fault(status=302, location=DEB)
        assert allowed.get(DEB).status in {500, 502, 508}
        assert origin.count(DEB) < 20

    def test_for_one_upstream_is_not_for_another(
        self, start: Start, origin: Origin, storage: Origin
    ) -> None:
        cache = start(
            a={"kind": "apt", "url": origin.url, "redirects": [storage.url]},
            b={"kind": "apt", "url": origin.url},
        )
        storage.files["/x"] = b"x"
        origin.faults["/a.deb"] = Fault(status=302, location=f"{storage.url}/x")
        assert cache.get("/a/a.deb").status == 200
        assert cache.get("/b/a.deb").status == 502


class TestTls:
    """An origin's certificate must be right, or nothing of it is taken."""

    @pytest.fixture
    def of(self, tmp_path: Path) -> Iterator[Callable[[str, bool], Running]]:
        """A cache of https://packages.example, whose certificate is for the given name."""
        with ExitStack() as stack:

            def make(name: str, trusted: bool) -> Running:
                authority, other = Authority(), Authority()
                (tmp_path / "ca.crt").write_text(authority.pem)
                tls = context((authority if trusted else other).server(name), tmp_path)
                origin = stack.enter_context(make_origin(tls=tls))
                origin.files.update({DEB: b"deb", INDEX: b"index"})
                url = f"https://packages.example:{origin.port}/ubuntu"
                where = site(
                    tmp_path,
                    resolvers=[stack.enter_context(resolver())],
                    ca_file=str(tmp_path / "ca.crt"),
                )
                cache = settings(ubuntu={"kind": "apt", "url": url})
                return stack.enter_context(running(cache, tmp_path, where))

            yield make

    def test_right(self, of: Callable[[str, bool], Running]) -> None:
        cache = of("packages.example", True)
        assert (cache.get(DEB).body, cache.get(INDEX).body) == (b"deb", b"index")

    @pytest.mark.parametrize(
        ("name", "trusted"), [("other.example", True), ("packages.example", False)]
    )
    def test_wrong(self, of: Callable[[str, bool], Running], name: str, trusted: bool) -> None:
        cache = of(name, trusted)
        assert (cache.get(DEB).status, cache.get(INDEX).status) == (502, 502)


def test_no_dns_no_harm(tmp_path: Path) -> None:
    """nginx must start, and say what is wrong, where no resolver answers."""
    cache = settings(ubuntu={"kind": "apt", "url": "https://packages.example/ubuntu"})
    with running(cache, tmp_path) as started:
        assert started.get("/healthz").body == b"ok\n"
        assert started.get(DEB).status == 502


def test_dns_that_does_not_answer_is_said_within_seconds(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        where = site(tmp_path, resolvers=[f"127.0.0.1:{silent.getsockname()[1]}"])
        cache = settings(ubuntu={"kind": "apt", "url": "https://packages.example/ubuntu"})
        with running(cache, tmp_path, where) as started:
            begun = time.monotonic()
            assert (started.get(INDEX).status, started.get(DEB).status) == (502, 502)
            assert time.monotonic() - begun < 30, "nginx's own limit, for each of the two"


class TestClients:
    """What a client can make the cache do."""

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_reading_is_all(self, cache: Running, origin: Origin, method: str) -> None:
        assert cache.get(DEB, method).status == 405
        assert origin.requests == []

    @pytest.mark.parametrize(
        "line",
        [
            "GET {other}/x HTTP/1.1",
            "CONNECT {other_host} HTTP/1.1",
            "GET //{other_host}/x HTTP/1.1",
            "GET /ubuntu/@{other_host}/x HTTP/1.1",
        ],
    )
    def test_it_is_no_open_proxy(self, cache: Running, line: str) -> None:
        with make_origin() as stranger:
            host = stranger.url.removeprefix("http://")
            text = line.format(other=stranger.url, other_host=host)
            answer = _raw(cache, f"{text}\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            assert answer.split()[1] in {b"400", b"404", b"405", b"502"}
            assert stranger.requests == []

    @pytest.mark.parametrize(
        "path",
        [
            "/ubuntu/../alpine/x",
            "/ubuntu/%2e%2e/x",
            "/ubuntu/pool/..%2f..%2fsecret.deb",
            "/ubuntu//pool/a.deb",
            "/./ubuntu/pool/a.deb",
            "/ubuntu/pool/%2e/a.deb",
            "/ubuntu/pool/.%2e/a.deb",
            "/ubuntu/pool/%2e./a.deb",
            "/ubuntu/pool/./../a.deb",
            "/ubuntu/pool/.//a.deb",
            "/%75buntu/pool/a.deb",
            "/ubuntu/pool\\a.deb",
            "/ubuntu/pool/a.deb%00",
        ],
    )
    def test_a_path_means_itself(self, cache: Running, origin: Origin, path: str) -> None:
        answer = _raw(cache, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.split()[1] in {b"400", b"404"}
        assert origin.requests == []

    def test_a_dot_stays_in_its_place(self, cache: Running, origin: Origin) -> None:
        """So apt asks for the packages of a flat repository; `get` would tidy the path."""
        origin.files["/ubuntu/./a.deb"] = b"deb"
        text = "GET /ubuntu/./a.deb HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert _raw(cache, text).endswith(b"\r\n\r\ndeb")

    @pytest.mark.parametrize("path", [DEB, INDEX])
    def test_secrets_stay_with_them(self, cache: Running, origin: Origin, path: str) -> None:
        origin.files[path] = b"content"
        cache.get(
            path,
            Authorization="Basic c2VjcmV0",
            Cookie="session=secret",
            Proxy_Authorization="Basic c2VjcmV0",
            X_Forwarded_For="10.0.0.1",
            X_Api_Key="secret",
            Referer="http://secret/",
        )
        sent = origin.requests[0].headers
        assert "secret" not in str(sent).lower()
        assert "c2VjcmV0" not in str(sent)
        assert set(sent) <= {"host", "via", "user-agent", "accept", "range"}

    def test_strangers_are_refused(self, tmp_path: Path, origin: Origin) -> None:
        """A client from another of loopback's addresses stands in for another machine."""
        origin.files[DEB] = b"deb"
        cache = Cache.model_validate(
            {
                "upstreams": {"ubuntu": {"kind": "apt", "url": f"{origin.url}/ubuntu"}},
                "clients": ["127.0.0.2/32"],
            }
        )
        where = site(tmp_path)
        with running(cache, tmp_path, where) as closed:
            for source, status in (("127.0.0.2", b"200"), ("127.0.0.3", b"403")):
                for path in (DEB, "/", "/v2/", "/healthz", "/-/logs/requests.json"):
                    text = f"GET {path} HTTP/1.0\r\n\r\n"
                    answer = _raw(closed, text, source).split()[1]
                    assert answer == status or (status != b"403" and answer == b"404")

    def test_a_cache_behind_itself_ends(self, tmp_path: Path) -> None:
        where = site(tmp_path)
        cache = settings(ubuntu={"kind": "apt", "url": f"http://127.0.0.1:{where.port}/ubuntu"})
        with running(cache, tmp_path, where) as looped:
            assert looped.get(DEB).status == 508

    def test_a_cache_behind_others_answers(self, tmp_path: Path, origin: Origin) -> None:
        """They all had one name, so each took the others for itself (#10.19)."""
        origin.files.update({DEB: os.urandom(SLICE + 5), INDEX: b"index"})
        url = origin.url
        vias = []
        with ExitStack() as stack:
            for number in range(3):
                folder = tmp_path / str(number)
                folder.mkdir()
                cache = settings(ubuntu={"kind": "apt", "url": f"{url}/ubuntu"})
                last = stack.enter_context(running(cache, folder))
                url = last.url
                vias.append(f"1.1 {identity(cache)}")
            for path in (DEB, INDEX):
                assert last.get(path, Via="1.1 proxy.office.example").body == origin.files[path]
        assert len(set(vias)) == 3
        told = {request.headers["via"] for request in origin.requests}
        assert told == {", ".join(reversed(vias))}

    def test_two_caches_in_a_circle_end(self, tmp_path: Path) -> None:
        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()
        places = [site(folder) for folder in folders]
        with ExitStack() as stack:
            for folder, place, other in zip(folders, places, reversed(places), strict=True):
                url = f"http://127.0.0.1:{other.port}/ubuntu"
                circle = settings(ubuntu={"kind": "apt", "url": url})
                last = stack.enter_context(running(circle, folder, place))
            assert last.get(DEB).status == 508


class TestOrigins:
    """What an origin can make the cache do."""

    @pytest.mark.parametrize("path", [DEB, INDEX])
    def test_it_cannot_steer_nginx(self, cache: Running, origin: Origin, path: str) -> None:
        origin.files[path] = b"content"
        origin.faults[path] = Fault(
            headers={
                "X-Accel-Redirect": "/-/logs/access.json",
                "X-Accel-Expires": "31536000",
                "Set-Cookie": "session=1",
                "Vary": "*",
                "Cache-Control": "no-store, private",
                "Expires": "0",
                "Strict-Transport-Security": "max-age=1",
            }
        )
        first = cache.get(path)
        assert first.body == b"content"
        assert {"Set-Cookie", "Strict-Transport-Security"}.isdisjoint(first.headers)
        origin.files[path] = b"changed"
        fresh = path == DEB
        assert cache.get(path).body == (b"content" if fresh else b"changed")


def _raw(cache: Running, text: str, source: str = "127.0.0.1") -> bytes:
    own = (source, 0)
    with socket.create_connection(("127.0.0.1", cache.site.port), 10, own) as connection:
        connection.sendall(text.encode())
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
        return answer
