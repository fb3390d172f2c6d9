"""What the foundation registers for the cache, in both targets."""

import base64
import json

import pytest

from tests.harness.deploy import shared
from tests.layers.containers import world

HUB = {
    "kind": "oci",
    "url": "https://registry.example",
    "registry": "docker.io",
    "container": {"memory_mib": 128},
}


def test_one_container_and_one_for_each_registry() -> None:
    change = {"foundation.cache.upstreams.hub": HUB}
    layer = shared("dev", change, layers=("foundation",))["foundation"]
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


def test_the_addresses_of_the_upstreams() -> None:
    outputs = world("lab")["foundation"].outputs["cache"]
    base = "http://cache.lab.home.arpa:8480"
    assert outputs["apt"]["ubuntu"] == f"{base}/ubuntu"
    assert outputs["apt"]["docker"] == f"{base}/docker"
    assert outputs["oci"]["docker-hub"] == "cache.lab.home.arpa:8480/docker.io"


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_passwords_are_secret_wherever_they_go(environment: str) -> None:
    """Only as parts of secret inputs, of what needs them."""
    index = {"kind": "pypi", "url": "https://index.example/simple", "user": "someone"}
    hub = {**HUB, "user": "else"}
    if environment == "lab":
        del hub["container"]
    change = {
        "common.unpinned_downloads": "allow",
        "foundation.cache.upstreams": {"index": index, "hub": hub},
        "datalab:upstreamPasswords": json.dumps({"index": "hunter2", "hub": 'hunter"3'}),
    }
    layer = shared(environment, change, layers=("foundation",))["foundation"]
    word = base64.b64encode(b"someone:hunter2").decode()
    told = {
        f"{resource.name}.{key}"
        for resource in layer.resources
        for key, value in resource.inputs.items()
        if "hunter" in (text := json.dumps(value)) or word in text
    }
    secret = {f"{each.name}.{key}" for each in layer.resources for key in each.secret}
    assert told <= secret
    assert "hunter" not in json.dumps(layer.outputs, default=str)
    if environment == "lab":
        assert told == {"cache-roles.stdin"}
        job = json.loads(layer.one("command:local:Command", "cache-roles").inputs["stdin"])
        variables = job["variables"]
        assert f'"@index-1" "Basic {word}";' in variables["cache_logins"]
        assert variables["cache_passwords"] == {"hub": 'hunter"3'}
        assert variables["cache_registries"]["hub"]["user"] == "else"
        return
    assert told == {"cache-container.uploads", "cache-hub-container.envs"}
    type_ = "docker:index/container:Container"
    uploads = layer.one(type_, "cache-container").inputs["uploads"]
    logins = [upload for upload in uploads if word in upload["content"]]
    assert [(one["file"], one["permissions"]) for one in logins] == [
        ("/etc/nginx/logins.conf", "0600")
    ]
    envs = layer.one(type_, "cache-hub-container").inputs["envs"]
    assert {'REGISTRY_PROXY_USERNAME="else"', 'REGISTRY_PROXY_PASSWORD="hunter\\"3"'} <= set(envs)
