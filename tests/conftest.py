"""Every test belongs to exactly one tier: its mark, else its folder, else `unit`."""

import os
from collections.abc import Mapping

import pytest

from cli.verbs import TIERS
from toolchain import pulumi_cli


@pytest.hookimpl(tryfirst=True)  # before pytest's own `-m` looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier; a usage error where one has two."""
    for item in items:
        marked = {mark.name for mark in item.iter_markers() if mark.name in TIERS}
        if len(marked) > 1:
            raise pytest.UsageError(f"{item.nodeid} is in two tiers: {', '.join(sorted(marked))}")
        if not marked:
            folders = [part for part in item.path.parts if part in TIERS]
            item.add_marker(folders[-1] if folders else "unit")
        # Side by side (`./lab test` does so) a file stays on one worker, for its fixtures' sake,
        # and so does a folder of service tests, whose servers are there once. Linters spread.
        if not item.get_closest_marker("lint"):
            whole = item.path.parent if item.get_closest_marker("service") else item.path
            item.add_marker(pytest.mark.xdist_group(str(whole)))


@pytest.fixture(scope="session")
def pulumi_environment() -> Mapping[str, str]:
    """Variables of a process that runs the real `pulumi`: PATH with it and its language host."""
    return pulumi_cli.environment(pulumi_cli.ensure_pulumi(), os.environ)
