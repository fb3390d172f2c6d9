"""`dev` on the real engine."""

from typing import Any, ClassVar

import pytest

from tests.engine.scenarios import ALL_THAT_KEEPS, Environment, Switch

pytestmark = pytest.mark.engine


class TestDev(Environment):
    env: ClassVar[str] = "dev"
    much: ClassVar[dict[str, Any]] = {
        "foundation.object_store.container.memory_mib": 640,
        "foundation.vault.container.memory_mib": 640,
        "services.postgresql.container.memory_mib": 640,
        "services.open_webui.container.memory_mib": 1152,
        "apps.web.container.memory_mib": 320,
    }
    stays: ClassVar[dict[str, str]] = {
        "services": "postgresql-container",
        "foundation": "store-container, vault-container",
    }
    changes: ClassVar[dict[str, tuple[dict[str, Any], dict[str, dict[str, str]]]]] = {
        "the memory of a container": (
            {"services.kafka.container.memory_mib": 1024},
            {"services": {"kafka-container": "update"}},
        ),
        "another topic": (
            {"services.kafka.topics.events": {"group": "readers"}},
            {"services": {"events-topic": "create"}},
        ),
        "a renewed password": (
            {"common.generations": {"open-webui-session": 2}},
            {"services": {"open-webui-session": "replace", "open-webui-container": "replace"}},
        ),
    }
    protected: ClassVar[Switch] = Switch(
        "services",
        {
            "platform.gitlab.enabled": True,
            "common.target.memory_mib": 24576,
            "services.postgresql.databases.shop": {"extensions": ["pg_trgm"]},
            "foundation.object_store.buckets.pictures": {"retention_days": 7},
        },
        {"platform.gitlab.enabled": False},
        ("services.postgresql.databases.shop", "foundation.object_store.buckets.pictures"),
        protected={
            "services": "gitlab-group, gitlab-project, shop-database, shop-role",
            "platform": "gitlab-config-volume, gitlab-data-volume, gitlab-logs-volume",
            "foundation": "pictures-bucket",
        },
    )
    switches: ClassVar[dict[str, Switch]] = {
        "a topic": Switch(
            "services",
            {"services.kafka.topics.clicks": {"group": "visitors"}},
            {},
            ("services.kafka.topics.clicks",),
        ),
        "a registry in the cache": Switch(
            "foundation",
            {
                "foundation.cache.upstreams.hub": {
                    "kind": "oci",
                    "url": "https://registry-1.docker.io",
                    "registry": "docker.io",
                    "container": {"memory_mib": 64},
                }
            },
            {},
            ("foundation.cache.upstreams.hub",),
            kept=("cache-hub-volume",),
        ),
        "all that keeps its data by itself": ALL_THAT_KEEPS,
    }
