"""The settings as the Pulumi program gets them from the engine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi.runtime.config import CONFIG

from settings import ENVIRONMENTS, PROJECT, Settings, SettingsError, load, replaced
from settings.images import PUSHED, Pushed, pushed
from settings.mirrors import PASSWORDS, set_passwords, users

# In nginx's configuration a word of 4,096 bytes ends (NGX_CONF_BUFFER), and base64 makes 4 of 3.
MOST_PASSWORD = 2_500


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the program gets besides the settings.

    proxmox_api_token is secret, and None where the target needs none; upstream_passwords are
    secret, one for each upstream of the cache with a user; pushed are the lab's own images that
    its registry has, by name.
    """

    proxmox_api_token: pulumi.Output[str] | None
    upstream_passwords: Mapping[str, pulumi.Output[str]]
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
    if old := replaced.keys(json.loads(CONFIG.get()[f"{PROJECT}:common"])):
        pulumi.log.warn(f"Pulumi.{environment}.yaml: {replaced.remedy(old, environment)}")
    token = None
    if settings.common.target.kind == "proxmox":
        token = pulumi.Config(PROJECT).get_secret("proxmoxApiToken")
        if token is None:
            raise pulumi.RunError(
                f"Pulumi.{environment}.yaml: datalab:proxmoxApiToken: is missing; "
                f"`./lab init {environment}` asks for it"
            )
    # Outside of pipelines there are none, and the program builds what it runs.
    given = pushed(CONFIG.get().get(f"{PROJECT}:{PUSHED}", "{}"))
    passwords = _passwords(environment, users(settings.foundation.cache))
    return settings, Given(proxmox_api_token=token, upstream_passwords=passwords, pushed=given)


def _passwords(environment: str, wanted: Sequence[str]) -> dict[str, pulumi.Output[str]]:
    """The secret passwords of the upstreams `wanted`; RunError unless it is exactly these.

    No fault shows anything of the secret, its keys included: they may be what was mistyped.
    """
    try:
        given = json.loads(CONFIG.get().get(PASSWORDS, "{}"))
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not all(map(_is_password, given.values())):
        fault = (
            "is not a JSON map from upstreams to passwords, each of printable characters "
            f"and at most {MOST_PASSWORD} bytes"
        )
    elif missing := [name for name in wanted if name not in given]:
        fault = f"lacks the password of foundation.cache.upstreams: {', '.join(missing)}"
    elif len(given) > len(wanted):
        fault = "has a password for what is no upstream with a user"
    else:
        return {name: pulumi.Output.secret(given[name]) for name in wanted}
    remedy = set_passwords(environment, wanted)
    raise pulumi.RunError(f"Pulumi.{environment}.yaml: {PASSWORDS}: {fault}; {remedy}")


def _is_password(value: object) -> bool:
    return (
        isinstance(value, str)
        and value.isprintable()
        and 0 < len(value.encode(errors="replace")) <= MOST_PASSWORD
    )
