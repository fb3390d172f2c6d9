"""The services' declarations are found, and make up the settings' tree."""

from pathlib import Path

import layers
from settings import Settings, declarations
from settings.services.kafka import Kafka
from tests.harness.deploy import settings_of


def test_every_module_of_a_layer_is_a_service_with_a_section_of_its_name() -> None:
    """A module is enough: no list names it again."""
    for layer in declarations.LAYERS:
        modules = {p.stem for p in Path("settings", layer).glob("*.py")} - {"__init__"}
        model = Settings.model_fields[layer].annotation
        assert model is not None
        assert set(model.model_fields) == modules
        assert {s.section for s in declarations.SERVICES if s.layer == layer} == modules


def test_layers_are_the_same_to_the_settings_and_to_the_program() -> None:
    """layers/__init__.py says them again, so that the command line starts without pydantic."""
    assert declarations.LAYERS == layers.LAYERS == tuple(Settings.model_fields)[1:]


def test_no_two_services_share_a_name_or_a_secret() -> None:
    """The tables by name would lose one of them."""
    names = [x.name for service in declarations.SERVICES for x in service.listeners]
    secrets = [x.name for service in declarations.SERVICES for x in service.secrets]
    assert len(set(names)) == len(names)
    assert len(set(secrets)) == len(secrets)


def test_a_section_is_had_by_its_model() -> None:
    """Typed, where an attribute that is found at run time could not be."""
    settings = settings_of("lab")
    assert settings.get(Kafka) is settings.services.kafka
