"""Every service's declaration, lowest layer first, and what is looked up in them.

A module in settings/<layer>/ is a service: nothing else names it.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from settings.base import Model
from settings.recipe import Recipe
from settings.service import Secret, Service

LAYERS = ("foundation", "platform", "services", "apps")


class Layer(Model):
    """The settings of a layer: a section for each of its services."""

    if TYPE_CHECKING:  # Settings.get is typed; these are found when the program starts

        def __getattr__(self, name: str) -> Any: ...


def _found(layer: str) -> Iterator[Service]:
    package = import_module(f"settings.{layer}")
    for module in iter_modules(package.__path__):
        service = import_module(f"{package.__name__}.{module.name}").SERVICE
        if not isinstance(service, Service) or service.key != f"{layer}.{module.name}":
            raise TypeError(f"settings/{layer}/{module.name}.py: SERVICE is not of this module")
        yield service


def layer_model(layer: str) -> type[Layer]:
    """The model of a layer's settings."""
    sections: dict[str, Any] = {
        service.section: (
            service.settings,
            Field(
                default=... if service.default is None else service.default,
                description=service.description,
            ),
        )
        for service in SERVICES
        if service.layer == layer
    }
    name, doc = layer.capitalize(), f"Layer {LAYERS.index(layer) + 1}."
    return create_model(name, __base__=Layer, __doc__=doc, __module__=__name__, **sections)


SERVICES: tuple[Service, ...] = tuple(
    service
    for layer in LAYERS
    for service in sorted(_found(layer), key=lambda service: (service.order, service.key))
)
# Key of a section -> its service.
BY_KEY: dict[str, Service] = {service.key: service for service in SERVICES}
# Model of a section -> its service.
BY_MODEL: dict[type[Model], Service] = {service.settings: service for service in SERVICES}
# Every password that Pulumi generates.
SECRETS: dict[str, Secret] = {
    secret.name: secret for service in SERVICES for secret in service.secrets
}
# Image that the lab builds -> its recipe.
RECIPES: dict[str, Callable[[], Recipe]] = {
    name: recipe for service in SERVICES for name, recipe in service.images.items()
}
# `./lab secrets rotate NAME` raises the generation of these.
RENEWABLE = tuple(name for name, secret in SECRETS.items() if not secret.first_login_of)
FIXED = tuple(name for name, secret in SECRETS.items() if secret.first_login_of)


def why_fixed(name: str) -> str:
    """Why the secret `name` of FIXED cannot be rotated, and what to do."""
    server = SECRETS[name].first_login_of
    return (
        f"{server} takes it for its first administrator only: change it in {server}'s own page, "
        "after which `./lab logins` shows one that no longer holds"
    )
