"""An environment's settings: one tree, checked once, every fault at once."""

import copy
import functools
import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from settings import faults, images, replaced
from settings.base import Model, dotted
from settings.budget import Budget, budget
from settings.common import Common
from settings.declarations import BY_MODEL, Layer, layer_model
from settings.defaults import filled, unlisted
from settings.rules import check
from settings.sections import Sections, sections
from settings.stackfile import StackFileError, is_secret, read_config

ENVIRONMENTS = ("dev", "lab")
PROJECT = "datalab"
# Keys of their own, as a secret inside the tree would be handed to the program in plain text.
SECRET_KEYS = ("proxmoxApiToken", "upstreamPasswords")

T = TypeVar("T", bound=Model)

if TYPE_CHECKING:  # a type checker takes no class that is made when the program starts
    Foundation = Layer
    Platform = Layer
    Services = Layer
    Apps = Layer
else:
    Foundation, Platform = layer_model("foundation"), layer_model("platform")
    Services, Apps = layer_model("services"), layer_model("apps")


class Settings(Model):
    """Everything a person may set for one environment."""

    common: Common
    foundation: Foundation
    platform: Platform
    services: Services
    apps: Apps

    def get(self, section: type[T]) -> T:
        """The section of a service, by its model."""
        found: T = attrgetter(BY_MODEL[section].key)(self)
        return found


class SettingsError(Exception):
    """The settings have faults.

    `faults` holds each as `datalab:dotted.key: what and what to do`, `budget` the table of memory,
    cores and disk where the settings are whole enough to have one.
    """

    def __init__(self, source: str, faults: tuple[str, ...], budget: Budget | None = None):
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))
        self.faults = faults
        self.budget = budget


def load(config: Mapping[str, Any], source: str) -> Settings:
    """Settings from stack configuration; SettingsError with every fault.

    Values are maps, or JSON text as the engine hands them to the program. A secret is the map
    `{"secure": ...}`, whatever it holds. `source` names the file in the faults;
    those of images.yaml come first, and alone.
    """
    try:
        images.catalogue()  # the cache's rules need it
    except images.CatalogueError as error:
        raise SettingsError(images.PATH.name, error.faults) from None
    tree: dict[str, Any] = {}
    found: list[str] = []
    misspelt: list[str] = []
    for key, value in config.items():
        namespace, _, name = key.partition(":")
        if namespace == PROJECT and name in Settings.model_fields:
            tree[name] = _parsed(value)
        else:
            found += _other_key(key, value)
            misspelt += get_close_matches(name, Settings.model_fields, n=1)
    old = replaced.keys(tree.get("common"))
    if old:
        tree["common"] = replaced.with_target(tree["common"])
    kind = _kind(tree.get("common"))
    try:
        hidden = list(faults.secrets_in(tree))
        if old:
            tree = copy.deepcopy(tree)  # its maps are the caller's
            for path in list(unlisted(Settings, tree, kind)):
                if path[0] in tree:
                    _take_away(tree, path)
        tree = filled(Settings, tree, kind)
        # As JSON, because that is what the program gets: lists, no dates, text for addresses.
        text = json.dumps(tree, ensure_ascii=False).encode(errors="replace")
    except RecursionError:
        raise SettingsError(source, (f"{PROJECT}: is nested too deeply",)) from None
    settings, sound, wrong = _validate(text)
    for layer in misspelt:
        # What is there under a wrong name is not missing as well.
        sound = Sections({k: part for k, part in sound.items() if not k.startswith(f"{layer}.")})
    found += [
        f"{PROJECT}:{dotted(place)}: no secret belongs here; the secrets are keys of their "
        f"own: {', '.join(f'{PROJECT}:{key}' for key in SECRET_KEYS)}"
        for place in hidden
    ]
    found += [
        f"{PROJECT}:{dotted(place)}: {text}"
        for place, text in wrong
        if not any(place[: len(secret)] == secret for secret in hidden)
    ]
    found += [f"{PROJECT}:{key}: {text}" for key, text in check(sound)]
    if settings is None or found:
        found += [replaced.remedy(old)] if old else []
        planned = None if settings is None else budget(settings)
        raise SettingsError(source, tuple(dict.fromkeys(found)), planned)
    return settings


def load_file(path: Path) -> Settings:
    """Settings from a stack file such as Pulumi.dev.yaml; SettingsError if it cannot be read."""
    try:
        return load(read_config(path), path.name)
    except StackFileError as error:
        raise SettingsError(path.name, (str(error),)) from None


def _kind(common: Any) -> str:
    """The kind of target in the section `common`; one where there is a fault instead."""
    target = common.get("target") if isinstance(common, dict) else None
    kind = target.get("kind") if isinstance(target, dict) else None
    return "proxmox" if kind == "proxmox" else "docker"


def _take_away(tree: dict[str, Any], path: tuple[str, ...]) -> None:
    """Say in a tree that a default entry is not wanted."""
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1]] = None


def _parsed(value: Any) -> Any:
    """The map that JSON text holds; anything else is left for validation to refuse."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _other_key(key: str, value: Any) -> Iterator[str]:
    namespace, _, name = key.partition(":")
    if namespace == PROJECT and name == images.PUSHED:
        return
    if namespace == PROJECT and name in SECRET_KEYS:
        if not is_secret(value):
            yield (
                f"{key}: is in plain text; revoke it, remove it from the file and its history, and "
                f"give a new one by `pulumi config set --secret {key}`"
            )
    elif namespace == PROJECT:
        known = (*Settings.model_fields, *SECRET_KEYS)
        yield f"{dotted((key,))}: unknown setting; {faults.suggestion(name, known)}"
    elif namespace != "pulumi":
        # Default providers are switched off (Pulumi.yaml), so nothing would read it.
        yield f"{dotted((key,))}: does nothing; settings begin with {PROJECT}:"


@functools.cache
def schema() -> dict[str, Any]:
    """The settings' JSON schema, from which faults and docs/settings.md take their words."""
    return Settings.model_json_schema()


def _validate(
    text: bytes,
) -> tuple[Settings | None, Sections, list[tuple[faults.Location, str]]]:
    """The settings; the sections that are sound, which are all of whole ones; what is wrong."""
    try:
        settings = Settings.model_validate_json(text, strict=True)
    except ValidationError as error:
        wrong = list(faults.explain(error, schema()))
        places = (*(place for place, _ in wrong), *faults.meant(error, schema()))
        return None, _sound(json.loads(text), {place[:2] for place in places}), wrong
    return settings, sections(settings), []


def _sound(tree: Mapping[str, Any], bad: set[faults.Location]) -> Sections:
    """The sections of layers and in layers that have no fault."""
    found = Sections()
    for layer, model in Settings.model_fields.items():
        fields = getattr(model.annotation, "model_fields", {})
        for name, field in fields.items() if (layer,) not in bad else ():
            if (layer, name) in bad:
                continue
            if name in tree[layer]:
                raw = json.dumps(tree[layer][name])
                found[f"{layer}.{name}"] = _adapter(layer, name).validate_json(raw, strict=True)
            elif not field.is_required():
                found[f"{layer}.{name}"] = field.get_default(call_default_factory=True)
    return found


@functools.cache
def _adapter(layer: str, name: str) -> TypeAdapter[Any]:
    """What checks one section; to make it takes longer than to check with it."""
    fields = getattr(Settings.model_fields[layer].annotation, "model_fields", {})
    return TypeAdapter(fields[name].rebuild_annotation())
