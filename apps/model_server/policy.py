"""Which models are served: a model is code, and anybody who may log one could run it here."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from .registry import Facts

NEWEST = "latest"
WANTED = re.compile(
    r"(?P<name>[^/:'\"\\%@]{1,250})(/(?P<version>[1-9][0-9]{0,9}|latest)|@(?P<alias>[\w-]{1,250}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Wanted:
    """A model that the settings name; without a version all its versions are served."""

    name: str
    version: str | None  # a number, `latest` or an alias

    @classmethod
    def parse(cls, text: str) -> "Wanted":
        """A model as MLflow writes it: name, name/3, name/latest, name@alias."""
        found = WANTED.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is none of name, name/3, name/latest and name@alias")
        return cls(found["name"], found["version"] or found["alias"])


def wanted(text: str) -> str:
    """The text, where Wanted takes it."""
    Wanted.parse(text)
    return text


@dataclass(frozen=True)
class Policy:
    """What is served of what MLflow has."""

    models: tuple[Wanted, ...] = ()
    aliases: Collection[str] = ()
    everything: bool = False

    def needs_no_facts(self, name: str, version: str) -> bool:
        """Whether a version is served whatever MLflow says of its aliases."""
        return self.everything or any(
            one.name == name and one.version in (None, version) for one in self.models
        )

    def serves(self, name: str, version: str, facts: Facts) -> bool:
        """Whether a version is served: the settings name it, or one of our aliases points to it."""
        if self.needs_no_facts(name, version):
            return True
        named = {one.version for one in self.models if one.name == name}
        if NEWEST in named and version == facts.newest:
            return True
        ours = named.union(self.aliases)
        return any(at == version and alias in ours for alias, at in facts.aliases.items())
