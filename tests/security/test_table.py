"""docs/security.md says all that is open, and nothing is open that it does not say."""

import json
from typing import Any

import pytest

from docs.security import OPEN, page
from settings.names import ROWS, endpoints
from tests.layers.containers import VARIANTS, world

pytestmark = pytest.mark.slow


def test_what_asks_for_no_credential_is_a_short_list_with_reasons() -> None:
    open_to_all = {
        name
        for name, row in ROWS.items()
        if row.exposure != "internal" and not row.listener.credential
    }
    assert open_to_all <= set(OPEN)
    assert "Nobody has said why" not in page()


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_container_publishes_a_port_that_is_not_in_the_table(variant: str) -> None:
    layers = world(variant)
    settings, docker = layers["foundation"].settings, variant != "lab"
    said = {
        endpoint.port
        for name, endpoint in endpoints(settings).items()
        if ROWS[name].published(docker=docker)
    }
    if settings.platform.gitlab.container:
        said.add(settings.platform.gitlab.ssh_port)  # by a key that a user gave GitLab
    published: list[dict[str, Any]] = [
        port
        for layer in layers.values()
        for made in layer.all("docker:index/container:Container")
        for port in made.inputs.get("ports", [])
    ]
    assert {port["external"] for port in published} <= said
    if docker:
        assert {port["ip"] for port in published} == {"127.0.0.1"}  # this machine's own


def test_a_servers_login_is_one_that_the_table_knows() -> None:
    for name, row in ROWS.items():
        if row.service.login and row.service.login.listener == name:
            assert row.listener.credential, name


def test_the_table_has_every_role_that_a_job_may_have() -> None:
    deployed = world("lab")["services"]
    made = deployed.all("vault:jwt/authBackendRole:AuthBackendRole")
    assert made
    text = page()
    for role in made:
        assert f"| `{role.inputs['roleName']}` |" in text
        for policy in role.inputs["tokenPolicies"]:
            assert f"`{policy}`" in text
        claims = json.dumps(role.inputs.get("boundClaims", {}))
        # Only these two are of anybody's job; nobody's token may be enough for another.
        assert (claims == "{}") == (role.inputs["roleName"] in {"project", "project-database"})
