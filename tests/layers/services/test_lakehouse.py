"""The lakehouse's catalogs: made by a command that gets nothing but what it understands."""

import shlex
from collections.abc import Mapping

import pytest
from datalab_edge.catalogs import PLAN, Catalog
from datalab_edge.credentials import TEXT, Lake, parse

from tests.harness.deploy import Deployed, Registered, deploy_on_sample
from tests.layers.containers import world

MINE = {"services.lakehouse.catalogs.mine": {"encrypted": True}}


def command(layer: Deployed) -> Registered:
    return layer.one("command:local:Command", "lakehouse-catalogs")


def given(layer: Deployed) -> tuple[Mapping[str, Catalog], Lake]:
    """The plan and the credentials that the command gets, as it reads them itself."""
    made = command(layer)
    *program, plan = shlex.split(made.inputs["create"])
    assert program == [".venv/bin/python", "-m", "datalab_edge.catalogs"]
    return PLAN.validate_json(plan), parse(made.inputs["environment"][TEXT], "the command's")


@pytest.mark.parametrize("variant", ["dev", "lab"])
def test_the_catalogs_command_understands_all_that_it_is_given(variant: str) -> None:
    layer = world(variant)["services"]
    plan, lake = given(layer)
    assert plan == {
        "stage": Catalog(readers=("lakehouse-reader",)),
        "secure_stage": Catalog(encrypted=True),
        "marts": Catalog(readers=("lakehouse-reader",)),
    }
    assert plan.keys() == lake.catalogs.keys()
    store = {"dev": "127.0.0.1", "lab": "192.168.1.101"}[variant]
    assert (lake.s3.endpoint.host, lake.s3.endpoint.port, lake.s3.bucket) == (
        *(store, 9000),
        "lakehouse",
    )
    database = {"dev": "127.0.0.1", "lab": "192.168.1.202"}[variant]
    assert (lake.postgresql.host, lake.postgresql.port) == (database, 5432)
    assert lake.ca.startswith("-----BEGIN CERTIFICATE")


@pytest.mark.parametrize("variant", ["dev", "lab"])
def test_its_credentials_are_secret_and_in_no_argument(variant: str) -> None:
    layer = world(variant)["services"]
    made = command(layer)
    assert "environment" in made.secret
    assert "lakehouse" in layer.secret_outputs
    _, lake = given(layer)
    for login in lake.catalogs.values():
        assert login.password.get_secret_value() not in made.inputs["create"]


def test_it_waits_for_the_roles_and_what_they_may_do() -> None:
    layer = world("dev")["services"]
    needed = {r.urn for kind in ("Role", "Database") for r in layer.all(kind)}
    grants = {r.urn for r in layer.all("Grant") if r.inputs["database"] == "lakehouse"}
    assert len(grants) == 3
    assert needed | grants <= command(layer).dependencies


def test_an_encrypted_catalog_of_ones_own_is_of_the_secure_role_and_has_no_readers() -> None:
    plan, lake = given(deploy_on_sample("services", "dev", MINE))
    assert plan["mine"] == Catalog(encrypted=True)
    assert set(plan) == {"mine", "stage", "secure_stage", "marts"}
    assert lake.catalogs["mine"].user == "lakehouse-secure"


def test_people_get_the_outside_and_containers_the_inside() -> None:
    found = world("lab")["services"].outputs["lakehouse"]
    outside, inside = parse(found["outside"], "outside"), parse(found["inside"], "inside")
    assert (inside.postgresql.host, outside.postgresql.host) == ("postgresql", "192.168.1.202")
    assert str(outside.writer) == "https://lake-writer.lab.home.arpa/"
    assert str(inside.writer) == "http://lake-writer:8001/"
