"""Damaged settings give either a lab whose files their readers take, or a readable refusal."""

import functools
from typing import Any

import pulumi
import pytest

from layers import LAYERS
from settings import ENVIRONMENTS, SettingsError, load
from tests.harness import readers, refused, rendered
from tests.harness.deploy import Deployed, deploy_layer
from tests.harness.mutations import mutate, seeded
from tests.harness.patched import patched

pytestmark = pytest.mark.service

# Seeds for each of the two environments. A fifth to a quarter is let through: the long ones make
# more than a thousand runs of each layer's program, an hour of one core.
IN_CI, LONG = 50, 2500


@functools.cache
def taken(name: str, text: str, logins: str) -> str:
    """What a file's reader has against it; most seeds change few of them."""
    where = name.replace("nginx.conf", "logins.conf")
    return readers.refusal({where: logins, name: text}, name)


def damaged(environment: str, seed: int) -> dict[str, Any]:
    """The sample settings after the damage of a seed."""
    return mutate(patched(environment, {"common.unpinned_downloads": "allow"}), seeded(seed))


def survive(environment: str, seed: int) -> bool:
    """Load damaged settings and run every layer on them; whether they were let through."""
    config = damaged(environment, seed)
    try:
        load(config, f"Pulumi.{environment}.yaml")
    except SettingsError as error:
        assert error.faults
        assert "Traceback" not in str(error)
        # A place that is no plain word is written in brackets, as Pulumi does.
        places = ("datalab:", "config", '["')
        assert all(fault.lower().startswith(places) for fault in error.faults), error.faults
        return False
    done: dict[str, Deployed] = {}
    try:
        for layer in LAYERS:
            done[layer] = deploy_layer(layer, environment, config, done)
    except pulumi.RunError as refusal:
        # What only the program knows: without its permission no download lacks a checksum, and an
        # upstream's password is none of the settings.
        assert any(word in str(refusal) for word in ("./lab pin", "upstreamPasswords")), refusal
        return False
    files = rendered.files(done)
    logins = files.get("cache:/etc/nginx/logins.conf", "")
    against = [taken(name, text, logins) for name, text in files.items() if readers.reader(name)]
    assert [*filter(None, against), *refused.faults(done)] == [], seed
    return True


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_damaged_settings(environment: str) -> None:
    ran = [seed for seed in range(IN_CI) if survive(environment, seed)]
    assert 0 < len(ran) < IN_CI, "all or nothing was let through: the damage is of no use"


@pytest.mark.long
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_much_more_damage(environment: str) -> None:
    ran = [seed for seed in range(IN_CI, IN_CI + LONG) if survive(environment, seed)]
    assert 500 < len(ran) < LONG
