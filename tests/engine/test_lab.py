"""`lab` on the real engine."""

from typing import Any, ClassVar

import pytest

from tests.engine.scenarios import Environment

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
