"""The rules know what servers, roles and templates take for themselves (issue 10, entry 13)."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from layers.foundation.cache_files import Site
from settings import SettingsError, load
from settings.declarations import SERVICES
from settings.ownership import DOCKER_POOL
from tests.harness.patched import ROOT, patched

GITLAB: dict[str, Any] = {"platform.gitlab.enabled": True, "common.target.memory_mib": 32768}
KEYS = ("platform.gitlab.port", "platform.gitlab.registry_port")
INNER = (5000, 8060, 8080, 8082, 8092, 9168, 9229, 9236)


def faults(env: str, changes: dict[str, Any]) -> list[str]:
    """What is wrong, if anything is."""
    try:
        load(patched(env, changes), env)
    except SettingsError as error:
        return list(error.faults)
    return []


def owned() -> list[tuple[str, int]]:
    """(section, port) of everything that a service takes for itself on its machine."""
    return [(service.key, port) for service in SERVICES for port in service.own_ports]


@pytest.mark.parametrize(("section", "port"), owned())
def test_a_servers_own_port_is_refused_on_its_machine(section: str, port: int) -> None:
    (found,) = faults("lab", {f"{section}.port": port})
    where = f"{section}.machine already belongs to {section} ("
    assert found.startswith(f"datalab:{section}.port: {port} of {where}")


@pytest.mark.parametrize("env", ["dev", "lab"])
@pytest.mark.parametrize("key", KEYS)
def test_no_inner_port_of_gitlab_is_published(env: str, key: str) -> None:
    base = GITLAB if env == "dev" else {}
    for port in (*INNER, 22 if env == "dev" else 80):
        assert any(key in fault for fault in faults(env, {**base, key: port})), port
    assert faults(env, {**base, key: 8930}) == []
    # Without TLS it sends nobody on from 80.
    assert faults("dev", {**GITLAB, key: 80}) == []


def test_another_services_machine_may_use_it() -> None:
    assert faults("lab", {"foundation.cache.port": 8202, "foundation.vault.port": 8481}) == []


def test_constants_of_roles_and_templates_are_those_that_the_rules_know() -> None:
    ports = {service.section: service.own_ports for service in SERVICES}
    assert Site(resolvers=(), port=1).fetch_port in ports["cache"]
    text = Path(ROOT / "layers/foundation/files/vault/vault.hcl.j2").read_text()
    assert {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", text)} == set(ports["vault"])
    role = ROOT / "ansible/roles/docker_host/defaults/main.yml"
    assert yaml.safe_load(role.read_text())["docker_host_address_pool"] == str(DOCKER_POOL)
    assert set(ports["gitlab"]) == set(INNER)
