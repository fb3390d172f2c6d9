"""The settings as the Pulumi program gets them from the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi.runtime.config import CONFIG

from settings import ENVIRONMENTS, PROJECT, Settings, SettingsError, load
from settings.images import Pushed, pushed


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the program gets besides the settings.

    proxmox_api_token is secret, and None where the place needs none; pushed are the lab's own
    images that its registry has, by name.
    """

    proxmox_api_token: pulumi.Output[str] | None
    pushed: Mapping[str, Pushed]


def split_stack(stack: str, layers: Sequence[str]) -> tuple[str, str]:
    """(environment, layer) of a stack's name; RunError listing the valid names for any other."""
    environment, _, layer = stack.rpartition("-")
    if environment not in ENVIRONMENTS or layer not in layers:
        valid = ", ".join(f"{e}-{name}" for e in ENVIRONMENTS for name in layers)
        raise pulumi.RunError(f"there is no stack {stack}; the stacks are {valid}")
    return environment, layer


def configuration(environment: str) -> tuple[Settings, Given]:
    """Settings and what else the running stack gets; RunError with every fault at once."""
    secret = pulumi.runtime.is_config_secret
    config = {
        # What stands in a secret is none of our business, nor of a fault's text.
        key: {"secure": ""} if secret(key) else value
        for key, value in CONFIG.get().items()
    }
    try:
        settings = load(config, f"Pulumi.{environment}.yaml")
    except SettingsError as error:
        over = error.budget is not None and error.budget.errors
        table = f"\n`./lab budget {environment}` shows the whole plan" if over else ""
        raise pulumi.RunError(f"the settings have faults:\n{error}{table}") from None
    token = None
    if settings.common.place == "proxmox":
        token = pulumi.Config(PROJECT).get_secret("proxmoxApiToken")
        if token is None:
            raise pulumi.RunError(
                f"Pulumi.{environment}.yaml: datalab:proxmoxApiToken: is missing; "
                f"`./lab init {environment}` asks for it"
            )
    return settings, Given(proxmox_api_token=token, pushed=pushed())
