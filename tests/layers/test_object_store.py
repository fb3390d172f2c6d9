"""What is in the object store, and for how long."""

from pathlib import Path
from typing import Any

import pytest

from layers.foundation.object_store import ACCESS
from tests.harness.deploy import deploy

ROOT = Path(__file__).parents[2]


def rules(environment: str, change: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Bucket -> rule's id -> the rule."""
    found = deploy(environment, change, layers=("foundation",))["foundation"]
    return {
        policy.inputs["bucket"]: {rule["id"]: rule for rule in policy.inputs["rules"]}
        for policy in found.all("IlmPolicy")
    }


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_backups_of_gitlab_expire_and_nothing_else(environment: str) -> None:
    found = rules(
        environment,
        {
            "common.unpinned_downloads": "allow",
            "platform.gitlab.backup_days": 21,
            "foundation.object_store.noncurrent_days": 30,
        },
    )
    expiring = {
        bucket: rule
        for bucket, of_bucket in found.items()
        for rule in of_bucket.values()
        if "expiration" in rule
    }
    assert expiring == {
        "backups": {"id": "expire-gitlab", "filter": "gitlab/", "expiration": "21d"}
    }
    # What expires is an old version, and that stays for as long as any other.
    for bucket in ("pulumi-state", "backups", "vault-snapshots"):
        assert found[bucket]["old-versions"]["noncurrentVersionExpirationDays"] == 30
        assert "filter" not in found[bucket]["old-versions"]


def test_backups_are_where_they_expire_and_where_gitlab_may_write() -> None:
    assert ACCESS["gitlab"]["backups"] == "gitlab/*"
    script = (ROOT / "layers/platform/files/gitlab/backup.sh").read_text()
    assert "gitlab-backup create STRATEGY=copy SKIP=registry DIRECTORY=gitlab " in script
