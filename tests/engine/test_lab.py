"""`lab` on the real engine."""

from typing import Any, ClassVar

import pytest

from cli.lib.effects import Away
from layers import LAYERS
from rehearsal.rules.gitlab import PROJECT_TOKEN
from tests.engine.edits import edit
from tests.engine.lab import Lab
from tests.engine.scenarios import ALL_THAT_KEEPS, Environment, Switch

pytestmark = pytest.mark.engine


class TestLab(Environment):
    env: ClassVar[str] = "lab"
    much: ClassVar[dict[str, Any]] = {
        "common.timezone": "Europe/Lisbon",
        "foundation.object_store.machine.disk_gib": 250,
        "platform.gitlab.backup_days": 30,
        "services.postgresql.container.memory_mib": 1088,
        "apps.web.container.memory_mib": 320,
    }
    stays: ClassVar[dict[str, str]] = {
        "services": "postgresql-container",
        "platform": "docker-vm, gitlab-vm",
        "foundation": "cache-lxc, store-lxc, vault-lxc",
    }
    changes: ClassVar[dict[str, tuple[dict[str, Any], dict[str, dict[str, str]]]]] = {
        "the memory of a container": (
            {"services.kafka.container.memory_mib": 1152},
            {"services": {"kafka-container": "update"}},
        ),
        "more room for a machine": (
            {"foundation.object_store.machine.disk_gib": 250},
            {"foundation": {"store-lxc": "update"}},
        ),
        "more memory for a VM, which reboots": (
            {"platform.gitlab.machine.memory_mib": 9216},
            {
                "platform": {
                    "gitlab-vm": "update",
                    "gitlab-host-key": "update",
                    "gitlab-roles": "update",
                    "runner-roles": "update",
                }
            },
        ),
        "how long backups are kept": (
            {"platform.gitlab.backup_days": 30},
            {
                "foundation": {"backups-lifecycle": "replace"},
                "platform": {"gitlab-roles": "update"},
            },
        ),
    }

    def test_tokens_that_fall_due_are_rotated_and_handed_on(self, here: Lab) -> None:
        days = here.scratch.settings.services.gitlab_project.token_days
        before = {item.id for item in here.world.find(PROJECT_TOKEN)}
        here.world.days = days - days // 3 - 1
        assert here.steps("services") == {}
        here.world.days += 1
        expected = {
            "gitlab-notes": "update",
            "gitlab-status": "update",
            # Their new values go to Vault, where the jobs find them.
            "ci-access-infra-ci-notes": "update",
            "ci-access-shared-provision": "update",
        }
        assert here.steps("services") == expected
        answer = here.up("services")
        assert answer.code == 0, answer.said[-4000:]
        assert before.isdisjoint(item.id for item in here.world.find(PROJECT_TOKEN))
        for layer in LAYERS:
            here.at_rest(layer)
        answer = here.run(
            "refresh", "--yes", "--skip-preview", "-s", here.scratch.stack("services")
        )
        assert answer.code == 0, answer.said[-4000:]
        here.at_rest("services")

    protected: ClassVar[Switch] = Switch(
        "services",
        {"platform.gitlab.enabled": True},
        {"platform.gitlab.enabled": False},
        protected={"services": "gitlab-group, gitlab-project", "platform": "gitlab-vm"},
    )

    def test_what_is_said_of_an_edit_is_what_happens(
        self, here: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """test_edits.py does the same for each machine, each version, and the domain."""
        monkeypatch.setattr(here.world, "facts", here.world.facts)
        done = edit(
            here,
            "foundation.vault.machine.memory_mib=1152",
            "services.kafka.heap_mib=400",
            "services.portainer.container.memory_mib=320",
            layers=("foundation", "services"),
        )
        done.equal()
        assert (done.effects.reboots, done.effects.roles) == (("vault",), ("vault",))
        assert done.effects.away == (Away(service="kafka", stop_s=60, start_s=180),)
        assert "Container portainer-container" in done.said["layers"]["services"]["updated"]
        assert (done.effects.replaced, done.effects.deleted) == ((), ())
        assert {"S3Bucket lakehouse-bucket", "VmLegacy docker-vm"} <= set(done.effects.kept or ())

    switches: ClassVar[dict[str, Switch]] = {
        "the GPU": Switch(
            "platform",
            {"platform.docker.machine.gpu": "gpu", "services.ollama.gpu": True},
            {"platform.docker.machine.gpu": None, "services.ollama.gpu": False},
        ),
        "all that keeps its data by itself": ALL_THAT_KEEPS,
        "a topic and a schedule": Switch(
            "services",
            {
                "services.kafka.topics.events": {"group": "readers"},
                "services.gitlab_project.schedules.extra": {
                    "cron": "1 2 * * *",
                    "workflow": "drift",
                },
            },
            {},
            ("services.kafka.topics.events", "services.gitlab_project.schedules.extra"),
        ),
    }
