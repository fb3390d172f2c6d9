"""Layers of the real program under Pulumi mocks, with the tests' own settings."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from layers import LAYERS
from rehearsal import mocks
from rehearsal.mocks import Deployed, Registered, deploy_layer, plain
from settings import Settings, load
from tests.harness.patched import patched

__all__ = [
    "Deployed",
    "Registered",
    "deploy",
    "deploy_layer",
    "deploy_on_sample",
    "plain",
    "settings_of",
    "shared",
    "stack_config",
]


def stack_config(environment: str, change: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The sample settings of an environment with single values changed.

    change maps a key below `datalab:` in dotted form to its new value; None removes it.
    """
    changes = change or {}
    return patched(
        environment,
        {key: value for key, value in changes.items() if value is not None},
        [key for key, value in changes.items() if value is None],
    )


def deploy(
    environment: str,
    change: Mapping[str, Any] | None = None,
    *,
    layers: tuple[str, ...] = LAYERS,
    preview: bool = False,
) -> dict[str, Deployed]:
    """Run layers with single values of the sample settings changed; see stack_config."""
    config = stack_config(environment, change)
    return mocks.deploy(environment, config, layers=layers, preview=preview)


def shared(
    environment: str,
    change: Mapping[str, Any] | None = None,
    *,
    layers: tuple[str, ...] = LAYERS,
    preview: bool = False,
) -> dict[str, Deployed]:
    """As `deploy`, but run once for all tests that ask for the same, which must not change it.

    Not for a test that patches the program: the others would get what it made.
    """
    key = json.dumps(change or {}, sort_keys=True)
    return {layer: _shared(layer, environment, key, preview) for layer in layers}


@cache
def _shared(layer: str, environment: str, change: str, preview: bool) -> Deployed:
    below = shared(
        environment,
        json.loads(change),
        layers=LAYERS[: LAYERS.index(layer)],
        preview=preview,
    )
    config = stack_config(environment, json.loads(change))
    return deploy_layer(layer, environment, config, below, preview=preview)


def deploy_on_sample(layer: str, environment: str, change: Mapping[str, Any]) -> Deployed:
    """One layer with changed settings, on the lower layers of the sample: for what is its own."""
    allow = {"common.unpinned_downloads": "allow"}
    below = shared(environment, allow, layers=LAYERS[: LAYERS.index(layer)])
    return deploy_layer(layer, environment, stack_config(environment, {**allow, **change}), below)


def settings_of(environment: str, change: Mapping[str, Any] | None = None) -> Settings:
    """The sample settings of an environment with single values changed; see stack_config."""
    return load(stack_config(environment, change), f"Pulumi.{environment}.yaml")
