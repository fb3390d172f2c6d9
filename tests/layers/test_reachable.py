"""What is exported can be reached: each URL's host is where its port is published.

With common.target.address of the network all URLs said localhost (issue 10, entry 12).
"""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

import pytest

from layers.services.gateway import configuration
from settings.names import certificate_names, endpoints, hosts
from tests.harness.deploy import Deployed, deploy, settings_of
from tests.layers.containers import GITLAB, container, variables

pytestmark = pytest.mark.slow
ADDRESSES = ("127.0.0.1", "127.0.0.2", "192.168.1.50", "10.77.0.1")


@pytest.fixture(scope="module", params=ADDRESSES)
def world(request: pytest.FixtureRequest) -> dict[str, Deployed]:
    """`dev` with GitLab, published on this address."""
    return deploy("dev", {**GITLAB, "common.target.address": request.param})


def urls(value: Any) -> Iterator[str]:
    """Every address for people in what a layer exports."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not key.startswith("inner_"):
                yield from urls(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from urls(inner)
    elif isinstance(value, str) and value.startswith(("http://", "https://")):
        yield value


def published(world: dict[str, Deployed]) -> set[tuple[str, int]]:
    """(address, port) of everything that containers publish."""
    return {
        (port["ip"], port["external"])
        for layer in world.values()
        for made in layer.all("docker:index/container:Container")
        for port in made.inputs.get("ports", [])
    }


def test_every_exported_url_is_where_its_port_is_published(world: dict[str, Deployed]) -> None:
    settings = world["services"].settings
    names = {name: str(address) for address, found in hosts(settings).items() for name in found}
    open_ports = published(world)
    found = {url for layer in world.values() for url in urls(layer.outputs)}
    found |= {endpoint.url for endpoint in endpoints(settings).values()}
    called = [urlsplit(url) for url in sorted(found)]
    assert len({url.port for url in called}) >= 10
    for url in called:
        host = url.hostname or ""
        address = names.get(host, "127.0.0.1" if host == "localhost" else host)
        IPv4Address(address)
        assert (address, url.port) in open_ports, url.geturl()
    broker = world["services"].outputs["kafka"]["bootstrap"].rpartition(":")
    assert (broker[0], int(broker[2])) in open_ports


def test_every_service_accepts_the_host_that_people_call(world: dict[str, Deployed]) -> None:
    services = world["services"]
    present = endpoints(services.settings)
    mlflow = variables(container(services, "mlflow"))
    called = urlsplit(present["mlflow"].url)
    assert {called.hostname, f"{called.hostname}:*"} <= set(
        mlflow["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    )
    assert mlflow["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == present["mlflow"].url
    assert mlflow["HEALTH_HOST"] == called.netloc
    chat = variables(container(services, "open-webui"))
    assert {chat["WEBUI_URL"], chat["CORS_ALLOW_ORIGIN"]} == {present["open-webui"].url}
    for name, endpoint in present.items():
        if endpoint.scheme in ("https", "postgresql"):
            dns, addresses = certificate_names(services.settings, name)
            assert endpoint.host in {*dns, *addresses}, name


def test_the_gateway_of_dev_has_no_route_that_a_service_refuses() -> None:
    """mlflow.<domain> was 403 there: the services know the name of their own port only."""
    assert configuration(settings_of("dev"))["routes"] == []
    assert len(configuration(settings_of("lab"))["routes"]) >= 6
