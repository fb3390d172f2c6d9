"""The rendered files, without running them."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from layers.foundation.cache_files import Site, render
from settings.foundation.cache import Cache
from settings.mirrors import environment, pulled, urls
from tests.cache.running import site, write
from tests.harness.deploy import settings_of

ROOT = Path(__file__).parents[2]
EVERY_KIND: dict[str, dict[str, Any]] = {
    "ubuntu": {"kind": "apt", "url": "http://archive.example/ubuntu"},
    "vendor": {
        "kind": "apt",
        "url": "https://packages.example/repos/stable",
        "redirects": ["https://storage.example"],
    },
    "alpine": {"kind": "apk", "url": "https://alpine.example/alpine"},
    "pypi": {
        "kind": "pypi",
        "url": "https://python.example/simple/",
        "files": ["https://python-files.example"],
    },
    "npm": {"kind": "npm", "url": "https://node.example"},
    "pulumi": {"kind": "pulumi", "url": "https://get.pulumi.com/releases/plugins"},
    "github": {
        "kind": "pulumi",
        "url": "https://github.com",
        "redirects": ["https://assets.example"],
    },
    "images": {"kind": "files", "url": "https://images.example", "index_ttl_s": 600},
    "docker-hub": {
        "kind": "oci",
        "url": "https://hub.example",
        "registry": "docker.io",
        "container": {"memory_mib": 128},
    },
    "ghcr": {"kind": "oci", "url": "https://ghcr.example", "registry": "ghcr.io"},
}
REGISTRIES = {"docker-hub": "http://127.0.0.1:5101", "ghcr": "http://127.0.0.1:5102"}
CASES: dict[str, Mapping[str, object]] = {
    "every-kind": EVERY_KIND,
    "none": {},
    "login": {"index": {**EVERY_KIND["pypi"], "user": "someone"}},
    "registry-login": {"docker-hub": {**EVERY_KIND["docker-hub"], "user": "someone"}},
    **{kind["kind"] + "-" + name: {name: kind} for name, kind in EVERY_KIND.items()},
}


def _cache(upstreams: Mapping[str, object]) -> Cache:
    return Cache.model_validate({"upstreams": upstreams})


def test_the_list_of_upstreams_has_every_kind() -> None:
    """What the cache's page says of itself; its nginx.conf and tidy.sh run in the other files."""
    where = Site(resolvers=("192.168.1.1",), port=8480, registries=REGISTRIES)
    rows = json.loads(render(_cache(EVERY_KIND), where)[f"{where.www_dir}/upstreams.json"])
    assert [row["name"] for row in rows] == sorted(EVERY_KIND)
    for row in rows:
        wanted = {key: EVERY_KIND[row["name"]].get(key) for key in ("kind", "registry", "url")}
        assert row == {"name": row["name"], **wanted}


@pytest.mark.lint
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_nginx_takes_them(case: str, tmp_path: Path) -> None:
    """With each kind alone, with all, and with none: the committed files begin with none."""
    where = site(tmp_path, registries=REGISTRIES)
    write(_cache(CASES[case]), where)
    done = subprocess.run(
        ["nginx", "-t", "-c", f"{where.config_dir}/nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


@pytest.mark.lint
def test_gixy_finds_nothing(tmp_path: Path) -> None:
    where = site(tmp_path, registries=REGISTRIES)
    write(_cache(EVERY_KIND), where)
    gixy = Path(sys.executable).with_name("gixy")
    done = subprocess.run(
        [gixy, f"{where.config_dir}/nginx.conf"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "No issues found" in done.stdout) == (0, True), done.stdout


@pytest.mark.lint
def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    where = site(tmp_path)
    write(_cache({}), where)
    loop = ROOT / "layers/foundation/files/cache/tidy-loop.sh"
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        [shellcheck, f"{where.config_dir}/tidy.sh", loop],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("environment_name", ["dev", "lab"])
def test_whole_settings_render(environment_name: str) -> None:
    cache = settings_of(environment_name).foundation.cache
    registries = {
        name: "http://127.0.0.1:5101" for name, up in cache.upstreams.items() if up.kind == "oci"
    }
    where = Site(resolvers=("127.0.0.11",), port=8480, registries=registries)
    text = render(cache, where)["/etc/nginx/nginx.conf"]
    for name, upstream in cache.upstreams.items():
        if upstream.kind != "oci":
            assert f"location ^~ /{name}/" in text


def test_addresses_for_clients() -> None:
    found = urls(_cache(EVERY_KIND), "http://cache.lab.home.arpa:8480")
    assert found["apt"]["vendor"] == "http://cache.lab.home.arpa:8480/vendor"
    assert found["pypi"] == {"pypi": "http://cache.lab.home.arpa:8480/pypi/simple/"}
    assert found["npm"] == {"npm": "http://cache.lab.home.arpa:8480/npm/"}
    assert found["oci"] == {
        "docker-hub": "cache.lab.home.arpa:8480/docker.io",
        "ghcr": "cache.lab.home.arpa:8480/ghcr.io",
    }


@pytest.mark.parametrize(
    ("reference", "without", "found"),
    [
        ("ghcr.io/org/name:1", "", "cache:8480/ghcr.io/org/name:1"),
        ("docker.io/library/name:1", "", "docker.io/library/name:1"),
        ("quay.io/org/name:1", "", "quay.io/org/name:1"),
        # Without a mirror the daemon does not trust the cache.
        ("ghcr.io/org/name:1", "docker-hub", "ghcr.io/org/name:1"),
    ],
)
def test_images_that_a_daemon_pulls_through(reference: str, without: str, found: str) -> None:
    upstreams = {name: up for name, up in EVERY_KIND.items() if name != without}
    assert pulled(_cache(upstreams), "http://cache:8480", reference) == found


def test_variables_for_clients() -> None:
    variables = environment(_cache(EVERY_KIND), "http://cache:8480")
    assert variables == {
        "NPM_CONFIG_REGISTRY": "http://cache:8480/npm/",
        "PIP_INDEX_URL": "http://cache:8480/pypi/simple/",
        "PIP_TRUSTED_HOST": "cache:8480",
        "PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES": (
            "^github://api.github.com/pulumi(/|$)=http://cache:8480/pulumi,"
            "^github://api.github.com/([^/]+)/([^/]+)$="
            "http://cache:8480/github/$1/$2/releases/download/v${VERSION}"
        ),
        "UV_DEFAULT_INDEX": "http://cache:8480/pypi/simple/",
    }
    assert environment(_cache({}), "http://cache:8480") == {}
