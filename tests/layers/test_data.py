"""Databases and buckets of one's own, with their logins."""

import json

import pytest

from layers.foundation.object_store import READ, WRITE
from tests.harness.deploy import Deployed, shared

CHANGE = {
    "common.unpinned_downloads": "allow",
    "services.postgresql.databases": {
        "shop": {"extensions": ["pg_trgm"]},
        "stock": {"owner": "shop"},
    },
    "foundation.object_store.buckets": {
        "pictures": {"versioning": True},
        "scratch": {"retention_days": 7},
    },
}


@pytest.fixture(params=["dev", "lab"])
def made(request: pytest.FixtureRequest) -> dict[str, Deployed]:
    return shared(request.param, CHANGE)


def test_a_database_is_its_owners_alone(made: dict[str, Deployed]) -> None:
    services = made["services"]
    for name in ("shop", "stock"):
        database = services.one("Database", f"{name}-database")
        assert (database.inputs["owner"], database.protect) == ("shop", True)
        grant = services.one("Grant", f"{name}-public")
        assert (grant.inputs["role"], grant.inputs["privileges"]) == ("public", [])
    role = services.one("postgresql:index/role:Role", "shop-role")
    assert role.inputs["login"] is True
    assert "password" in role.secret
    # Nothing of what the lab keeps for itself.
    assert not {"createDatabase", "createRole", "roles", "superuser"} & role.inputs.keys()
    extension = services.one("Extension", "shop-pg_trgm-extension")
    assert (extension.inputs["database"], extension.inputs["name"]) == ("shop", "pg_trgm")


def test_a_buckets_user_may_touch_that_bucket_and_nothing_else(made: dict[str, Deployed]) -> None:
    foundation = made["foundation"]
    assert foundation.one("S3Bucket", "pictures-bucket").protect
    policy = json.loads(foundation.one("IamPolicy", "bucket-pictures-policy").inputs["policy"])
    allowed = [part for part in policy["Statement"] if part["Effect"] == "Allow"]
    resources = {resource for part in allowed for resource in part["Resource"]}
    assert resources == {"arn:aws:s3:::pictures", "arn:aws:s3:::pictures/*"}
    assert allowed[1]["Action"] == sorted(READ + WRITE)
    attachment = foundation.one("IamUserPolicyAttachment", "bucket-pictures-access").inputs
    assert attachment == {"userName": "bucket-pictures", "policyName": "bucket-pictures"}


def test_objects_and_old_versions_go_when_they_are_due(made: dict[str, Deployed]) -> None:
    rules = {p.inputs["bucket"]: p.inputs["rules"] for p in made["foundation"].all("IlmPolicy")}
    assert rules["scratch"] == [{"id": "expire", "expiration": "7d"}]
    assert rules["pictures"] == [{"id": "old-versions", "noncurrentVersionExpirationDays": 90}]
    versioned = {v.inputs["bucket"] for v in made["foundation"].all("S3BucketVersioning")}
    assert "pictures" in versioned
    assert "scratch" not in versioned


def test_every_login_is_exported_as_a_secret(made: dict[str, Deployed]) -> None:
    services, foundation = made["services"], made["foundation"]
    logins = services.outputs["logins"]
    assert {name for name in logins if name.startswith("postgresql")} >= {
        *("postgresql", "postgresql/mlflow", "postgresql/lakehouse"),
        *("postgresql/shop", "postgresql/stock"),
    }
    assert logins["postgresql"]["user"] == "postgres"
    assert logins["postgresql/stock"]["user"] == "shop"
    assert logins["postgresql/stock"]["url"].endswith(":5432/stock")
    assert logins["postgresql/stock"]["password"].startswith("database-shop")
    bucket = foundation.outputs["logins"]["bucket/pictures"]
    assert bucket["user"] == "bucket-pictures"
    assert bucket["url"].endswith(":9000/pictures")
