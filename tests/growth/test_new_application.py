"""One more web application costs three files, none of them a list (issue 11, the experiment)."""

import json

import pytest

from settings import ENVIRONMENTS
from tests.growth.conftest import Copy

pytestmark = pytest.mark.slow


def test_it_touches_few_files(application: Copy) -> None:
    assert application.touched == (
        "images.yaml",
        "layers/apps/whoami.py",
        "settings/apps/whoami.py",
    )


def test_it_has_a_route_a_line_on_the_start_page_and_a_probe(application: Copy) -> None:
    found = application.answers(
        "{'routes': configuration(lab)['routes'], 'hosts': str(names.hosts(lab)), "
        "'dev': start_page(dev)['links'], 'lab': start_page(lab)['links'], "
        "'probes': list(probe.targets({'urls': {'whoami': 'https://whoami.lab.home.arpa'}}))}"
    )
    assert {
        "host": "whoami.lab.home.arpa",
        "upstream": "https://whoami:8443",
        "upstream_host": "whoami",
        "host_header": "$http_host",
    } in found["routes"]
    urls = {"dev": "https://localhost:8600", "lab": "https://whoami.lab.home.arpa"}
    for environment, url in urls.items():
        (line,) = [line for line in found[environment] if line["name"] == "whoami"]
        assert (line["label"], line["url"], line["page"]) == ("Who am I", url, "/health")
    assert found["probes"] == ["whoami"]
    assert "whoami.lab.home.arpa" in found["hosts"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_is_deployed_with_its_certificate(application: Copy, environment: str) -> None:
    program = ("-m", "tests.growth.deployed", environment, "apps", "whoami")
    made = json.loads(application.python(*program))
    assert "whoami" in made["certificates"]
    ports = [port["external"] for port in made["inputs"].get("ports", [])]
    assert ports == ([8600] if environment == "dev" else []), "in the lab the gateway answers"
    assert "whoami" in made["outputs"]["urls"]
    assert "datalab:apps:Whoami$" in made["parent"]


def test_a_port_that_is_taken_is_a_fault_that_names_both(application: Copy) -> None:
    faults = application.python(
        "-c",
        "import json, yaml\n"
        "from settings import SettingsError, load\n"
        "config = yaml.safe_load(open('Pulumi.dev.yaml'))['config']\n"
        "config['datalab:apps'] = {**config.get('datalab:apps', {}), 'whoami': {'port': 5000}}\n"
        "try:\n    load(config, 'x')\n"
        "except SettingsError as error:\n    print(error)",
    )
    assert "services.mlflow.port" in faults
    assert "apps.whoami.port" in faults


@pytest.mark.engine
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_is_rehearsed(application: Copy, environment: str) -> None:
    shown = json.loads(application.lab("rehearse", environment, "--json"))
    assert "datalab-whoami" in {row["container"] for row in shown["containers"]}
    assert "Who am I" in shown["urls"]
