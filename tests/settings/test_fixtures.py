"""One fault a file, with the words that a person gets to read; and what must be let through."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import SettingsError, load
from settings.budget import budget
from settings.names import certificate_names, endpoints, hosts
from tests.harness.patched import patched

FIXTURES = Path(__file__).parents[1] / "fixtures" / "settings"


def files(kind: str) -> list[Any]:
    """The fixtures of a folder, named after their file."""
    found = sorted((FIXTURES / kind).glob("*.yaml"))
    return [pytest.param(path, id=path.stem) for path in found]


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A fixture, and the configuration that it describes."""
    fixture: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    config = patched(fixture["base"], fixture.get("set", {}), fixture.get("remove", ()))
    return fixture, config


def test_there_are_enough() -> None:
    assert len(files("invalid")) >= 40
    assert len(files("valid")) >= 10


@pytest.mark.parametrize("path", files("invalid"))
def test_fault_is_reported_alone_and_in_these_words(path: Path) -> None:
    fixture, config = read(path)
    with pytest.raises(SettingsError) as caught:
        load(config, f"Pulumi.{fixture['base']}.yaml")
    assert caught.value.faults == (fixture["expect"],)
    assert str(caught.value) == f"Pulumi.{fixture['base']}.yaml: {fixture['expect']}"


@pytest.mark.parametrize("path", files("valid"))
def test_valid_settings_have_names_and_a_budget(path: Path) -> None:
    fixture, config = read(path)
    settings = load(config, "fixture")
    for name in endpoints(settings):
        assert certificate_names(settings, name)
    machines = len(budget(settings).machines)
    assert len(hosts(settings)) == (machines or settings.platform.gitlab.enabled)
    plan = budget(settings)
    assert plan.errors == ()
    assert plan.warnings == tuple(fixture.get("warnings", ()))
    assert plan.notes == tuple(fixture.get("notes", ()))
