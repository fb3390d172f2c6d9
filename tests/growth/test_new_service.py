"""One more service costs three files, none of them a list (issue 11, the Redis experiment)."""

import json

import pytest

from settings import ENVIRONMENTS
from tests.growth.conftest import Copy

pytestmark = pytest.mark.slow


def test_it_touches_few_files(service: Copy) -> None:
    assert service.touched == (
        "images.yaml",
        "layers/services/redis.py",
        "settings/services/redis.py",
    )


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_check_and_the_budget_know_it(service: Copy, environment: str) -> None:
    plan = service.answers(
        f"(lambda plan: [[asdict(load) for load in plan.containers], plan.containers_mib, "
        f"plan.docker.memory_mib])(budget({environment}))"
    )
    redis = next(load for load in plan[0] if load["name"] == "redis")
    assert redis == {
        "name": "redis",
        "key": "services.redis.container",
        "memory_mib": 64,
        "count": 1,
    }
    assert plan[1] <= plan[2]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_status_knows_what_it_should_run(service: Copy, environment: str) -> None:
    wanted = f"[one.image for one in containers.wanted({environment}) if one.name == 'redis']"
    assert service.answers(wanted) == ["redis"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_containers_alone_find_it(service: Copy, environment: str) -> None:
    address = "redis://redis:6379"
    found = service.answers(
        f"{{'endpoint': names.endpoints({environment})['redis'].inner_url, "
        f"'service': names.service_at({environment}, '{address}'), "
        f"'hosts': str([names.hosts({environment}), names.job_hosts({environment}), "
        f"names.machine_hosts({environment}), configuration({environment})['routes']]), "
        f"'lines': start_page({environment})['links'], "
        f"'probes': list(probe.targets({{'redis': {{'url': '{address}'}}}}))}}"
    )
    assert found["endpoint"] == address
    assert found["service"] == "redis"
    assert "redis" not in found["hosts"]
    (line,) = [line for line in found["lines"] if line["name"] == "redis"]
    assert (line["label"], line["url"], line["page"]) == ("Redis", address, "")
    assert line["version"], "it is of images.yaml"
    assert found["probes"] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_is_deployed(service: Copy, environment: str) -> None:
    program = ("-m", "tests.growth.deployed", environment, "services", "redis")
    made = json.loads(service.python(*program))
    inputs = made["inputs"]
    assert inputs["memory"] == inputs["memorySwap"] == 64
    assert not inputs.get("ports"), "it is for containers only"
    assert [mount["volumeName"] for mount in inputs["volumes"]] == ["datalab-redis-data"]
    assert made["volumes"] == ["redis-data-volume"]
    assert "redis-cli ping" in str(inputs["healthcheck"])
    assert "uploads" in made["secret"], "its password is in its files"
    assert "redis" in made["passwords"]
    assert "redis" in service.answers("RENEWABLE")
    assert made["outputs"]["redis"] == {
        "url": "redis://redis:6379",
        "inner_url": "redis://redis:6379",
    }
    assert "datalab:services:Redis$" in made["parent"]


def test_the_pages_that_are_made_know_it(service: Copy) -> None:
    service.python("-m", "docs.generate")
    for page in ("settings.md", "images.md", "resources.md", "settings.schema.json"):
        assert "redis" in (service.root / "docs" / page).read_text(), page


@pytest.mark.engine
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_is_rehearsed(service: Copy, environment: str) -> None:
    shown = json.loads(service.lab("rehearse", environment, "--json"))
    assert "datalab-redis" in {row["container"] for row in shown["containers"]}
    assert shown["urls"]["Redis"] == "redis://redis:6379"
