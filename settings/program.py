"""The settings as the Pulumi program gets them from the engine."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from settings import ENVIRONMENTS, PROJECT, Settings, SettingsError, load


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What a person must give and nobody else may read; None where the place needs none."""

    proxmox_api_token: pulumi.Output[str] | None


def split_stack(stack: str, layers: Sequence[str]) -> tuple[str, str]:
    """(environment, layer) of a stack's name; RunError listing the valid names for any other."""
    environment, _, layer = stack.rpartition("-")
    if environment not in ENVIRONMENTS or layer not in layers:
        valid = ", ".join(f"{e}-{name}" for e in ENVIRONMENTS for name in layers)
        raise pulumi.RunError(f"there is no stack {stack}; the stacks are {valid}")
    return environment, layer


def configuration(environment: str) -> tuple[Settings, Secrets]:
    """Settings and secrets of the running stack; RunError with every fault at once."""
    config = pulumi.Config(PROJECT)
    tree = {name: config.get_object(name) for name in Settings.model_fields}
    try:
        settings = load(
            {f"{PROJECT}:{name}": value for name, value in tree.items() if value is not None},
            f"Pulumi.{environment}.yaml",
        )
    except SettingsError as error:
        raise pulumi.RunError(f"the settings have faults:\n{error}") from None
    token = None
    if settings.common.place == "proxmox":
        token = config.require_secret("proxmoxApiToken")
    return settings, Secrets(proxmox_api_token=token)
