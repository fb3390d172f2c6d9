"""What the foundation registers for the cache, in both places."""

from typing import Any

from tests.harness.deploy import deploy

HUB = {
    "kind": "oci",
    "url": "https://registry.example",
    "registry": "docker.io",
    "container": {"memory_mib": 128},
}


def _dev(change: dict[str, Any]) -> Any:
    return deploy("dev", change, layers=("foundation",))["foundation"]


def _lab() -> Any:
    change = {"common.unpinned_downloads": "allow"}
    return deploy("lab", change, layers=("foundation",))["foundation"]


def test_one_container_and_one_for_each_registry() -> None:
    layer = _dev({"foundation.cache.upstreams.hub": HUB})
    cache = layer.one("docker:index/container:Container", "cache-container").inputs
    files = {upload["file"]: upload["content"] for upload in cache["uploads"]}
    assert "proxy_pass $registry" in files["/etc/nginx/nginx.conf"]
    assert "http://cache-hub:5000" in files["/etc/nginx/nginx.conf"]
    assert "resolver 127.0.0.11 " in files["/etc/nginx/nginx.conf"]
    assert {"/etc/nginx/tidy.sh", "/etc/nginx/www/index.html"} <= files.keys()
    registry = layer.one("docker:index/container:Container", "cache-hub-container").inputs
    assert "REGISTRY_PROXY_REMOTEURL=https://registry.example" in registry["envs"]
    assert not registry.get("ports")
    assert layer.outputs["cache"]["oci"] == {"hub": "localhost:8480/docker.io"}


def test_the_addresses_of_the_committed_upstreams() -> None:
    outputs = _lab().outputs["cache"]
    base = "http://cache.lab.home.arpa:8480"
    assert outputs["apt"]["ubuntu"] == f"{base}/ubuntu"
    assert outputs["apt"]["docker"] == f"{base}/docker"
    assert outputs["oci"]["docker-hub"] == "cache.lab.home.arpa:8480/docker.io"
