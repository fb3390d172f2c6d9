"""Servers that the tests of the lakehouse share."""

from collections.abc import Iterator

import pytest

from tests.harness.kafka import kafka
from tests.harness.lakehouse import Lakehouse, lakehouse


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lakehouse]:
    with lakehouse(tmp_path_factory.mktemp("lake")) as made:
        yield made


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kafka(tmp_path_factory.mktemp("kafka")) as address:
        yield address
