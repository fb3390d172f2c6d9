"""The generated secrets of an environment: the declarations' own, and those of its entries."""

from settings.declarations import RENEWABLE, SERVICES
from settings.sections import Sections


def renewable(sections: Sections) -> tuple[str, ...]:
    """The names of all secrets that can be rotated."""
    return (*RENEWABLE, *of_entries(sections))


def of_entries(sections: Sections) -> tuple[str, ...]:
    """The names of those that entries of the settings ask for."""
    return tuple(
        name
        for service in SERVICES
        if service.key in sections
        for name in service.entry_secrets(sections[service.key])
    )
