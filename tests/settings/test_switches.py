"""What can be switched off, and what then is missing."""

import pytest

from settings import SettingsError, load
from settings.budget import budget
from settings.declarations import BY_KEY, LAYERS, SERVICES
from settings.names import endpoints
from settings.switches import needed
from tests.harness.deploy import settings_of, stack_config
from tests.harness.switches import SWITCHES, switched_off

# Upon these stands everything else.
ALWAYS = {"platform.docker"}


def faults(environment: str, *off: str) -> tuple[str, ...]:
    config = stack_config(environment, {f"{key}.enabled": False for key in off})
    with pytest.raises(SettingsError) as caught:
        load(config, "fixture")
    return caught.value.faults


def test_every_service_but_the_foundations_has_a_switch_or_goes_with_one_that_has() -> None:
    for service in SERVICES:
        own = "enabled" in service.settings.model_fields
        others = BY_KEY[service.part_of].settings.model_fields if service.part_of else {}
        expected = service.layer != LAYERS[0] and service.key not in ALWAYS
        assert (own or "enabled" in others) == expected, service.key


def test_what_a_service_needs_is_a_service_that_has_a_switch() -> None:
    for service in SERVICES:
        for target in ("docker", "proxmox"):
            assert set(needed(service, target)) <= set(SWITCHES), service.key


def test_both_are_named_with_the_two_ways_out() -> None:
    assert (
        "datalab:services.kafka.enabled: is false, but apps.model_server needs it; set it to "
        "true, or apps.model_server.enabled to false"
    ) in faults("dev", "services.kafka")


def test_what_needs_something_by_way_of_another_is_named_once_that_is_off() -> None:
    off = "services.postgresql", "services.mlflow"
    assert (
        "datalab:services.mlflow.enabled: is false, but apps.model_server needs it; set it to "
        "true, or apps.model_server.enabled to false"
    ) in faults("dev", *off)


def test_only_in_lab_do_web_pages_need_the_gateway() -> None:
    found = faults("lab", "services.gateway")
    assert (
        "datalab:services.gateway.enabled: is false, but services.portainer needs it; set it to "
        "true, or services.portainer.enabled to false"
    ) in found
    load(stack_config("dev", {"services.gateway.enabled": False}), "fixture")


@pytest.mark.parametrize("environment", ["dev", "lab"])
@pytest.mark.parametrize("key", SWITCHES)
def test_with_all_that_needs_it_each_can_be_switched_off(environment: str, key: str) -> None:
    off = switched_off(environment, key)
    settings = settings_of(environment, {f"{name}.enabled": False for name in off})
    before = settings_of(environment)
    assert not {BY_KEY[name].name for name in off} & set(endpoints(settings))
    limits = {load.key: load.total_mib for load in budget(before).containers}
    left = {load.key: load.total_mib for load in budget(settings).containers}
    gone = (*off, *(service.key for service in SERVICES if service.part_of in off))
    assert left == {k: mib for k, mib in limits.items() if not k.startswith(gone)}
