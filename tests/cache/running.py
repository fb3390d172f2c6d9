"""The cache as a process: the rendered files, Debian's nginx, a folder of the test."""

import http.client
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layers.foundation.cache_files import Site, logins, render
from settings.foundation.cache import Cache
from tests.harness.process import clean_environment, free_port, listens, server

# Of every upstream with a user.
PASSWORD = "dollar$and: colon\u00e4"
# Through the loopback only, whatever proxy the machine has.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """What a client got; `whole` says whether all announced bytes came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool
    first_byte_s: float

    @property
    def cache(self) -> str:
        """X-Cache-Status."""
        return self.headers.get("X-Cache-Status", "")


def get(url: str, method: str = "GET", **headers: str) -> Answer:
    """Ask once; keyword `Cache_Control` is sent as Cache-Control."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, headers=sent, method=method)  # noqa: S310
    begun = time.monotonic()
    try:
        response = OPENER.open(request, timeout=120)
    except urllib.error.HTTPError as error:
        response = error
    except http.client.RemoteDisconnected:
        return Answer(0, {}, b"", False, time.monotonic() - begun)
    with response:
        body = response.read(1)
        first = time.monotonic() - begun
        whole = True
        try:
            body += response.read()
        except http.client.IncompleteRead as error:
            body += error.partial
            whole = False
        except OSError:
            whole = False
        return Answer(response.status, response.headers, body, whole, first)


class Running:
    """A running cache."""

    def __init__(self, cache: Cache, folder: Path, site: Site) -> None:
        self.cache, self.folder, self.site = cache, folder, site
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.site.port}"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask it once."""
        return get(f"{self.url}{path}", method, **headers)

    def log(self, name: str = "access") -> list[dict[str, Any]]:
        """The lines of a log, after they were written out."""
        time.sleep(1.5)  # flush=1s, and nothing tells that it was done
        text = (Path(self.site.log_dir) / f"{name}.json").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def errors(self) -> str:
        """The error log."""
        return (Path(self.site.log_dir) / "error.log").read_text()

    def stored(self) -> list[Path]:
        """The files of the cache."""
        return [path for path in Path(self.site.cache_dir).rglob("*") if path.is_file()]


def site(folder: Path, resolvers: Sequence[str] = ("127.0.0.1",), **more: Any) -> Site:
    """A place inside `folder`, on free ports of loopback."""
    return Site(
        resolvers=tuple(resolvers),
        port=free_port(),
        listen="127.0.0.1",
        fetch_port=free_port(),
        user="root",  # pytest's folders are closed to every other account
        config_dir=str(folder),
        www_dir=str(folder / "www"),
        temp_dir=str(folder / "run"),
        pid_file=str(folder / "run" / "nginx.pid"),
        log_dir=str(folder / "log"),
        cache_dir=more.pop("cache_dir", str(folder / "packages")),
        **more,
    )


def outside(folder: Path) -> Site:
    """The same, for upstreams on the net: it finds and trusts what this machine does."""
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    resolvers = [line.split()[1] for line in lines if line.startswith("nameserver")]
    return site(folder, resolvers=resolvers, ca_file="/etc/ssl/certs/ca-certificates.crt")


def write(cache: Cache, where: Site, edits: Mapping[str, str] | None = None) -> None:
    """Put the rendered files where `where` says, with texts replaced that are in nginx.conf."""
    for folder in (where.www_dir, where.temp_dir, where.log_dir):
        Path(folder).mkdir(parents=True, exist_ok=True)
    for path, text in render(cache, where).items():
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    passwords = {name: PASSWORD for name, up in cache.upstreams.items() if up.user}
    if passwords:
        (Path(where.config_dir) / "logins.conf").write_text(logins(cache, passwords))
    for old, new in (edits or {}).items():
        file = Path(where.config_dir) / "nginx.conf"
        text = file.read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{old!r} is not in nginx.conf")
        file.write_text(text.replace(old, new), encoding="utf-8")


def settings(**upstreams: Mapping[str, Any]) -> Cache:
    """Settings with these upstreams."""
    return Cache.model_validate({"upstreams": upstreams, "min_free_gib": 1})


@contextmanager
def running(
    cache: Cache,
    folder: Path,
    where: Site | None = None,
    edits: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """The cache, until the block ends."""
    made = Running(cache, folder, where or site(folder))
    write(cache, made.site, edits)
    command = ["nginx", "-c", f"{made.site.config_dir}/nginx.conf", "-g", "daemon off;"]
    with server(
        command,
        lambda: listens(made.site.port) and listens(made.site.fetch_port),
        folder / "nginx.out",
        env=clean_environment(),
    ) as process:
        made.process = process
        yield made
