"""Every test belongs to exactly one tier: its mark, else its folder, else `unit`."""

import gc
import os
from collections.abc import Mapping
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from cli.commands.test import TIERS
from settings import images
from toolchain import obtain, pulumi_cli

# The engines of tests have no registry, and so no image by its digest; and nobody's tests fail
# because of what their `./lab pin` wrote. Before any module of a layer is there, as those ask.
SUMS = images.sums
pytest.MonkeyPatch().setattr(images, "sums", dict)


# An example may take its 200 ms, or the making of one its second, because of other tests.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")


# Half of the time of a deployment under mocks went into looking for garbage, which is little.
gc.set_threshold(100_000, 50, 1000)


def pytest_collection_finish() -> None:
    """What was imported stays, and need not be looked at again."""
    gc.freeze()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test with its tier; a usage error where it has two.

    Here and not once all are collected: pytest's `-m` and xdist's groups look at the marks then.
    """
    marked = {mark.name for mark in item.iter_markers() if mark.name in TIERS}
    if len(marked) > 1:
        raise pytest.UsageError(f"{item.nodeid} is in two tiers: {', '.join(sorted(marked))}")
    if not marked:
        folders = [part for part in item.path.parts if part in TIERS]
        item.add_marker(folders[-1] if folders else "unit")


# Folders whose servers are there once: all of their tests run on one worker.
WHOLE = ("ansible", "cache", "ci", "provision")
# Half of its folder's time: it has a machine of its own.
APART = "tests/ansible/test_roles.py"
# What runs for minutes, the longest first: begun last, it would keep one worker alone at the end.
LONGEST = (
    "tests/ansible/test_roles.py",
    "tests/ansible/",
    "tests/images/",
    "tests/engine/test_lab.py",
    "tests/engine/test_dev.py",
    "tests/lake/",
    "tests/engine/",
    "tests/provision/",
    "tests/cache/",
    "tests/ci/",
    "tests/layers/",
    "tests/cli/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; nothing else changes its place."""

    def place(item: pytest.Item) -> int:
        found = (n for n, start in enumerate(LONGEST) if item.nodeid.startswith(start))
        return next(found, len(LONGEST))

    items.sort(key=place)


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """Side by side, a file stays on one worker for its fixtures' sake; linters spread.

    Not xdist's own groups: with pytest 9 it cannot write them into the tests' names (3.8.0).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.split("/")[1]
        if folder == "lint":
            return nodeid
        return folder if folder in WHOLE and file != APART else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    """Called by xdist."""
    config.option.loadscopereorder = False  # by the number of tests, which says nothing of time
    return Scheduler(config, log)


@pytest.fixture(scope="session")
def pulumi_environment() -> Mapping[str, str]:
    """Variables of a process that runs the real `pulumi`: PATH with it and its language host."""
    return pulumi_cli.environment(obtain.ensure_pulumi(), os.environ)
