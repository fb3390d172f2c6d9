"""Settings of the cache that must be refused, and in which words."""

from typing import Any

import pytest
from pydantic import ValidationError

from settings.foundation.cache import Cache, Upstream
from settings.images import catalogue

APT = {"kind": "apt", "url": "http://archive.example/ubuntu"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "rpm"}, "Input should be 'apt'"),
        ({"url": "ftp://archive.example"}, "String should match pattern"),
        ({"url": "https://user:password@archive.example"}, "String should match pattern"),
        ({"url": "https://archive.example/?a=1"}, "String should match pattern"),
        ({"url": "https://archive.example/;}"}, "String should match pattern"),
        ({"url": "https://archive.example/$host"}, "String should match pattern"),
        ({"url": "https://archive.example/a b"}, "String should match pattern"),
        ({"url": "https://archive.example/\nx"}, "String should match pattern"),
        ({"kind": "pypi"}, "has no TLS and pypi has no signatures"),
        ({"kind": "pypi", "url": "https://x.example", "files": ["http://y.example"]}, "no TLS"),
        ({"files": ["https://y.example"]}, "files is only for pypi and npm, not for apt"),
        ({"redirects": ["https://y.example/path"]}, "String should match pattern"),
        ({"kind": "oci", "url": "https://x.example"}, "needs registry"),
        ({"registry": "ghcr.io"}, "only for oci, not for apt"),
        ({"kind": "oci", "url": "https://x.example/v2", "registry": "ghcr.io"}, "has only url"),
        ({"kind": "oci", "url": "https://x.example", "registry": "ghcr"}, "match pattern"),
        ({"index_ttl_s": -1}, "greater than or equal to 0"),
        ({"index_ttl_s": 86_401}, "less than or equal to 86400"),
        ({"artifact_days": 0}, "greater than or equal to 1"),
        ({"ttl": 5}, "Extra inputs are not permitted"),
    ],
)
def test_an_upstream_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Upstream.model_validate({**APT, **change})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"upstreams": {"v2": APT}}, "the cache answers /v2 itself"),
        ({"upstreams": {"healthz": APT}}, "the cache answers /healthz itself"),
        ({"upstreams": {"x": {"kind": "apt"}}}, "images.yaml has no repository x"),
        ({"upstreams": {"-": APT}}, "String should match pattern"),
        ({"upstreams": {"a/b": APT}}, "String should match pattern"),
        ({"max_size_gib": 0}, "greater than or equal to 1"),
        ({"min_free_gib": 0}, "greater than or equal to 1"),
        ({"keys_mib": 0}, "greater than or equal to 1"),
        ({"clients": []}, "at least 1 item"),
        ({"clients": ["192.168.1.1/24"]}, "not a valid IPv4 network"),
    ],
)
def test_a_cache_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Cache.model_validate({"upstreams": {"ubuntu": APT}, **change})


def test_two_owners_of_a_registry_are_both_named() -> None:
    hub = {"kind": "oci", "url": "https://x.example", "registry": "docker.io"}
    with pytest.raises(ValidationError, match=r"upstreams\.b\.registry.*upstreams\.a"):
        Cache.model_validate({"upstreams": {"a": hub, "b": hub}})


def test_a_cache_larger_than_its_machine_is_refused() -> None:
    machine = {
        "id": 103,
        "address": "192.168.1.103",
        "cores": 1,
        "memory_mib": 1024,
        "disk_gib": 100,
    }
    room = {"upstreams": {}, "machine": machine, "min_free_gib": 6}
    assert Cache.model_validate({**room, "max_size_gib": 90})
    with pytest.raises(ValidationError, match="the system needs 4"):
        Cache.model_validate({**room, "max_size_gib": 91})


def test_plain_http_may_be_trusted_in_words() -> None:
    own = {"kind": "pypi", "url": "http://devpi.home.example/simple", "allow_http": True}
    assert Upstream.model_validate(own).ttl_s == 300


def test_a_registry_next_to_a_container_is_one_too() -> None:
    """Without its own container it is a fault of the settings: upstream-container-missing.yaml."""
    hub = {"kind": "oci", "url": "https://x.example", "registry": "docker.io"}
    own = {"hub": {**hub, "container": {"memory_mib": 128}}}
    assert Cache.model_validate({"upstreams": own, "container": {"memory_mib": 256}})


def test_an_address_of_images_yaml_need_not_be_written_again() -> None:
    cache = Cache.model_validate({"upstreams": {"docker": {"kind": "apt"}}})
    assert cache.upstreams["docker"].url == catalogue().repositories["docker"].url
