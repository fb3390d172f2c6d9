"""One lab for all tests of provision: names differ from test to test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.kafka import kafka
from tests.provision.lab import Lab, lab


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Vault, PostgreSQL, and the stand-ins of GitLab and Ollama."""
    with lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture(scope="session")
def broker(servers: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka broker that Vault knows of."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    with kafka(folder) as address:
        servers.write("infra/provision/kafka", {"bootstrap": address})
        yield address
