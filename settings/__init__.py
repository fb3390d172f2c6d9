"""An environment's settings: one tree, checked once, every fault at once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from settings.apps import Apps
from settings.base import Model
from settings.common import Common
from settings.foundation import Foundation
from settings.platform import Platform
from settings.services import Services
from settings.stackfile import read_config

ENVIRONMENTS = ("dev", "lab")
PROJECT = "datalab"


class Settings(Model):
    """Everything a person may set for one environment."""

    common: Common
    foundation: Foundation
    platform: Platform
    services: Services
    apps: Apps


class SettingsError(Exception):
    """The settings have faults; `faults` holds each as `datalab:dotted.key: what and what to do`."""

    def __init__(self, source: str, faults: tuple[str, ...]):
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))
        self.faults = faults


def load(config: Mapping[str, Any], source: str) -> Settings:
    """Settings from stack configuration; `source` names the file in the faults.

    Values are maps, or JSON text as the engine hands them to the program.
    """
    prefix = f"{PROJECT}:"
    tree: dict[str, Any] = {}
    for key, value in config.items():
        name = key.removeprefix(prefix)
        if key.startswith(prefix) and name in Settings.model_fields:
            tree[name] = json.loads(value) if isinstance(value, str) else value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        faults = tuple(
            f"{prefix}{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        )
        raise SettingsError(source, faults) from None


def load_file(path: Path) -> Settings:
    """Settings from a stack file such as Pulumi.dev.yaml; SettingsError if it cannot be read."""
    try:
        return load(read_config(path), path.name)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(path.name, (str(error),)) from None
