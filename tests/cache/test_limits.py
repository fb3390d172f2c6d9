"""nginx takes what the settings allow, whatever they are combined with, up to their limits."""

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from settings.addresses import MOST_URL
from settings.foundation.cache import LINKING, MOST_ADDRESSES, MOST_UPSTREAMS, Cache, Kind
from tests.cache.running import site, write
from tests.harness.extremes import HOST
from tests.harness.readers import run

pytestmark = [pytest.mark.lint, pytest.mark.slow]

# Each value once at either end of its setting, and once as it is by default.
SIZES = {"max_size_gib": (1, 10, 65_536), "min_free_gib": (1, 2, 65_536), "keys_mib": (1, 16, 1024)}
CLIENTS = (
    ["0.0.0.0/0"],
    ["127.0.0.1/32", "10.0.0.0/8", "10.0.0.0/8"],
    ["10.0.0.0/8", "10.0.0.0/16"],
    [f"10.{n}.0.0/16" for n in range(256)],
)
RESOLVERS = (("127.0.0.11",), ("192.168.255.255:65535",) * 8)


def _host(number: int, *, long: bool) -> str:
    name = f"{number:03}{HOST[3:]}" if long else f"h{number}"
    return f"https://{name}:65535" if long else f"https://{name}"


@st.composite
def caches(draw: st.DrawFn) -> Cache:
    """Upstreams of every kind with the shortest and the longest of everything."""
    ends = st.booleans()
    upstreams: dict[str, Any] = {}
    room = MOST_ADDRESSES
    for number in range(draw(st.sampled_from((0, 1, 7, MOST_UPSTREAMS)))):
        kind = draw(st.sampled_from(get_args(Kind)))
        url = _host(number, long=draw(ends))
        upstream: dict[str, Any] = {"kind": kind, "url": url}
        room -= 1
        if kind == "oci":
            upstream["registry"] = f"{number:02}{HOST[2:]}" if draw(ends) else f"r{number}.io"
        else:
            if draw(ends):
                upstream["url"] += "/.~" + "/+" * ((MOST_URL - len(url) - 3) // 2)
            upstream["index_ttl_s"] = draw(st.sampled_from((None, 0, 86_400)))
            upstream["artifact_days"] = draw(st.sampled_from((1, 365, 3650)))
            more = min(draw(st.sampled_from((0, 1, 16))), max(0, room - MOST_UPSTREAMS + number))
            room -= more
            hosts = [_host(100 + room + n, long=draw(ends)) for n in range(more)]
            upstream["files" if kind in LINKING and draw(ends) else "redirects"] = hosts
        name = f"{'a' * 60}{number:03}" if draw(ends) else f"u{number}"
        upstreams[name] = upstream
    chosen = {key: draw(st.sampled_from(values)) for key, values in SIZES.items()}
    clients = draw(st.sampled_from(CLIENTS))
    return Cache.model_validate({"upstreams": upstreams, "clients": clients, **chosen})


LARGEST = Cache.model_validate(
    {"upstreams": {}, "clients": CLIENTS[-1], **{key: ends[-1] for key, ends in SIZES.items()}}
)


@given(cache=caches(), resolvers=st.sampled_from(RESOLVERS))
@example(cache=LARGEST, resolvers=RESOLVERS[-1])
@effort(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_nginx_takes_every_cache(tmp_path: Path, cache: Cache, resolvers: tuple[str, ...]) -> None:
    registries = {
        name: f"http://{name}:5000" for name, up in cache.upstreams.items() if up.kind == "oci"
    }
    where = site(tmp_path, resolvers=resolvers, registries=registries)
    write(cache, where)
    said = run("nginx", "-t", "-e", "stderr", "-c", tmp_path / "nginx.conf")
    assert "[warn]" not in said, said
