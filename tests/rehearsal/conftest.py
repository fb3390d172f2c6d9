"""One set of running simulators for all tests; each test gets an empty world."""

from collections.abc import Iterator

import pytest

from rehearsal.world import World
from tests.rehearsal.client import FACTS, Lab
from tests.rehearsal.client import lab as serve_lab


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Simulators for every package."""
    with serve_lab(tmp_path_factory.mktemp("simulators")) as made:
        yield made


@pytest.fixture
def lab(served: Lab) -> Lab:
    """The simulators with an empty world."""
    served.world.restore(World().dump())
    served.world.facts = FACTS
    return served
