"""What is switched off is gone; what its data needs, and all else, is as before."""

from functools import cache

import pytest

from settings.declarations import BY_KEY
from tests.harness.deploy import deploy
from tests.harness.switches import ALL_BUT_POSTGRESQL, switched_off
from tests.layers.containers import ALLOW, GITLAB

Known = set[tuple[str, str]]


@cache
def resources(gitlab: bool, *off: str) -> Known:
    """(type, name) of all that `dev` has with these services switched off."""
    change = {**(GITLAB if gitlab else ALLOW), **{f"{key}.enabled": False for key in off}}
    return {(r.type, r.name) for layer in deploy("dev", change).values() for r in layer.resources}


def of(known: Known, kind: str) -> set[str]:
    return {name for type_, name in known if type_.endswith(f":{kind}")}


@pytest.mark.parametrize("key", ALL_BUT_POSTGRESQL)
def test_no_container_of_it_is_left_and_all_others_are(key: str) -> None:
    gone = {f"{BY_KEY[name].name}-container" for name in switched_off("dev", key)}
    expected = of(resources(gitlab=False), "Container") - gone
    assert of(resources(False, *switched_off("dev", key)), "Container") == expected


def test_what_the_data_of_a_service_needs_stays() -> None:
    """Another identity or first password would not open the volume that was kept."""
    whole, left = (
        resources(gitlab=False),
        resources(False, *switched_off("dev", *ALL_BUT_POSTGRESQL)),
    )
    assert of(whole, "RandomId") == of(left, "RandomId") == {"kafka-cluster"}
    assert {"open-webui-admin", "portainer-admin"} <= of(left, "RandomPassword")
    assert of(whole, "Database") == of(left, "Database")
    assert of(whole, "Role") == of(left, "Role")


def test_projects_are_told_of_no_server_that_is_off() -> None:
    off = switched_off("dev", "services.postgresql", "services.kafka", "services.ollama")
    whole, left = resources(gitlab=True), resources(True, *off)
    assert of(whole, "SecretV2") - of(left, "SecretV2") == {
        "ci-access-infra-provision-kafka",
        "ci-access-infra-provision-ollama",
        "ci-access-infra-provision-postgres",
    }
    assert of(whole, "SecretBackendConnection") - of(left, "SecretBackendConnection") == {
        "ci-access-postgres"
    }


def test_a_layer_above_gets_empty_maps_and_not_lists() -> None:
    off = switched_off("dev", "services.postgresql", "services.kafka")
    change = {**ALLOW, **{f"{key}.enabled": False for key in off}}
    found = deploy("dev", change)["services"].outputs
    names = ("kafka", "lakehouse", "mlflow", "postgresql", "postgresql_credentials")
    assert {name: found[name] for name in names} == {name: {} for name in names}
