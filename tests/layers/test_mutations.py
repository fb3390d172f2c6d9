"""Damaged settings give either a program that runs or a readable refusal, never a traceback."""

import pulumi
import pytest

from layers import LAYERS
from settings import ENVIRONMENTS, SettingsError, load
from tests.harness.deploy import Deployed, deploy_layer
from tests.harness.mutations import mutate, seeded
from tests.harness.patched import patched

pytestmark = pytest.mark.slow

IN_CI, LONG = 50, 250  # for each of the two environments


def survive(environment: str, seed: int) -> bool:
    """Load damaged settings and run every layer on them; whether they were let through."""
    sound = patched(environment, {"common.unpinned_downloads": "allow"})
    damaged = mutate(sound, seeded(seed))
    try:
        load(damaged, f"Pulumi.{environment}.yaml")
    except SettingsError as error:
        assert error.faults
        assert "Traceback" not in str(error)
        # A place that is no plain word is written in brackets, as Pulumi does.
        places = ("datalab:", "config", '["')
        assert all(fault.startswith(places) for fault in error.faults), error.faults
        return False
    done: dict[str, Deployed] = {}
    try:
        for layer in LAYERS:
            done[layer] = deploy_layer(layer, environment, damaged, done)
    except pulumi.RunError as refusal:
        # What only the program knows: without its permission no download lacks a checksum.
        assert "./lab pin" in str(refusal), refusal
        return False
    return True


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_damaged_settings(environment: str) -> None:
    ran = [seed for seed in range(IN_CI) if survive(environment, seed)]
    assert 0 < len(ran) < IN_CI, "all or nothing was let through: the damage is of no use"


@pytest.mark.long
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_much_more_damage(environment: str) -> None:
    ran = [seed for seed in range(IN_CI, IN_CI + LONG) if survive(environment, seed)]
    assert 0 < len(ran) < LONG
