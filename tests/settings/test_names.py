"""One table of names: addresses, ports and certificates follow from it."""

from ipaddress import IPv4Address
from urllib.parse import urlsplit

import pytest

from settings import ENVIRONMENTS, Settings, load
from settings.names import ROWS, certificate_names, endpoints, hosts
from tests.harness.patched import patched

GITLAB = {"platform.gitlab.enabled": True, "common.target.memory_mib": 20480}


def sample(environment: str, **changes: object) -> Settings:
    """The sample settings, with GitLab on."""
    base = GITLAB if environment == "dev" else {}
    return load(patched(environment, {**base, **changes}), environment)


def test_design_s_ports_in_dev() -> None:
    found = endpoints(sample("dev"))
    assert {name: endpoint.port for name, endpoint in found.items()} == {
        **{"store": 9000, "store-console": 9001, "vault": 8200, "cache": 8480},
        **{"gitlab": 8929, "registry": 5050, "postgresql": 5432, "kafka": 9092, "mlflow": 5000},
        **{"ollama": 11434, "open-webui": 8080, "portainer": 9443, "gateway": 8443},
        **{"model-server": 8000, "lake-writer": 8001, "web": 3000},
    }
    assert {endpoint.address for endpoint in found.values()} == {IPv4Address("127.0.0.1")}


def test_urls_in_the_lab() -> None:
    found = {name: endpoint.url for name, endpoint in endpoints(sample("lab")).items()}
    assert found == {
        "store": "https://store.lab.home.arpa:9000",
        "store-console": "https://store.lab.home.arpa:9001",
        "vault": "https://vault.lab.home.arpa:8200",
        "cache": "http://cache.lab.home.arpa:8480",
        "docker": "tcp://docker.lab.home.arpa:2376",
        "gitlab": "https://gitlab.lab.home.arpa",
        "registry": "https://registry.lab.home.arpa:5050",
        "postgresql": "postgresql://postgresql.lab.home.arpa:5432",
        "kafka": "kafka://kafka.lab.home.arpa:9092",
        "mlflow": "https://mlflow.lab.home.arpa",
        "ollama": "https://ollama.lab.home.arpa",
        "open-webui": "https://open-webui.lab.home.arpa",
        "portainer": "https://portainer.lab.home.arpa",
        "gateway": "https://gateway.lab.home.arpa",
        "model-server": "https://model-server.lab.home.arpa",
        "lake-writer": "https://lake-writer.lab.home.arpa",
        "web": "https://web.lab.home.arpa",
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_containers_call_each_other_by_container_name(environment: str) -> None:
    found = endpoints(sample(environment))
    assert found["postgresql"].inner_url == "postgresql://postgresql:5432"
    assert found["kafka"].inner_url == "kafka://kafka:29092"
    assert found["mlflow"].inner_url == "http://mlflow:5000"
    assert found["store"].inner_url.startswith("https://store")
    assert found["store-console"].inner_host == found["store"].inner_host


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nobody_answers_twice_on_the_same_address_and_port(environment: str) -> None:
    found = endpoints(sample(environment))
    outside = [e.url for e in found.values()]
    assert len(outside) == len(set(outside))
    inside = [(e.inner_host, e.inner_port) for e in found.values()]
    assert len(inside) == len(set(inside))


def test_gitlab_that_is_off_is_nowhere() -> None:
    off = load(patched("dev", {}), "dev")
    assert not {"gitlab", "registry"} & endpoints(off).keys()
    changed = patched("lab", {"platform.gitlab.enabled": False}, ["platform.gitlab.machine"])
    lab = load(changed, "lab")
    assert not {"gitlab", "registry"} & endpoints(lab).keys()
    assert IPv4Address("192.168.1.201") not in hosts(lab)


def test_hosts_of_the_lab() -> None:
    found = {str(address): names for address, names in hosts(sample("lab")).items()}
    assert found["192.168.1.101"] == ("store.lab.home.arpa",)
    assert found["192.168.1.201"] == ("gitlab.lab.home.arpa", "registry.lab.home.arpa")
    docker = found["192.168.1.202"]
    assert docker[0] == "docker.lab.home.arpa"
    assert {"lab.home.arpa", "gateway.lab.home.arpa", "mlflow.lab.home.arpa"} <= set(docker)
    every = [name for names in found.values() for name in names]
    assert len(every) == len(set(every))
    urls = [endpoint.url for endpoint in endpoints(sample("lab")).values()]
    assert {urlsplit(url).hostname for url in urls} <= set(every)


def test_hosts_of_dev() -> None:
    assert hosts(load(patched("dev", {}), "dev")) == {}
    assert hosts(sample("dev")) == {IPv4Address("127.0.0.1"): ("gitlab.lab.home.arpa",)}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_certificates_hold_every_name_that_clients_use(environment: str) -> None:
    settings = sample(environment)
    for name, endpoint in endpoints(settings).items():
        # TLS of the gateway's pages ends at the gateway.
        through = environment == "lab" and ROWS[name].exposure == "gateway"
        owner = {"store-console": "store", "registry": "gitlab"}.get(name, name)
        dns, addresses = certificate_names(settings, "gateway" if through else owner)
        assert dns == sorted(set(dns))
        assert str(endpoint.address) in addresses
        wildcard = f"*.{settings.common.domain}"
        assert endpoint.host in dns or (wildcard in dns and endpoint.host.endswith(wildcard[1:]))
        inside, _ = certificate_names(settings, owner)
        assert endpoint.inner_host in inside


def test_ports_and_domain_come_from_the_settings() -> None:
    settings = sample("lab", **{"services.gateway.port": 8443, "common.domain": "home.example"})
    found = endpoints(settings)
    assert found["mlflow"].url == "https://mlflow.home.example:8443"
    assert found["gitlab"].url == "https://gitlab.home.example"
    assert all(
        name.endswith("home.example") for names in hosts(settings).values() for name in names
    )
