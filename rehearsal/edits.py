"""Single settings that a rehearsal changes: `--set KEY=VALUE`."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.lib.fault import Fault
from settings import PROJECT, SECRET_KEYS
from settings.stackfile import StackFileError, document

OPTION = "--set"


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One setting and its new value, as Pulumi would read it from the settings' file."""

    key: str  # dotted, below `datalab:`
    value: Any
    text: str

    @classmethod
    def parse(cls, text: str, source: str) -> "Edit":
        """What `KEY=VALUE` says; source is the file whose setting it changes."""
        key, equals, value = text.partition("=")
        key = key.strip().removeprefix(f"{PROJECT}:")
        if not equals or not all(key.split(".")):
            raise Fault(
                f"{OPTION} takes KEY=VALUE with a key of {source}, such as "
                f"services.kafka.container.memory_mib=1024, not {text!r}",
                2,
            )
        if key.partition(".")[0] in SECRET_KEYS:
            raise Fault(
                f"{source}: {PROJECT}:{key}: {OPTION} takes no secret; the rehearsal has "
                "values of its own for them",
                2,
            )
        try:
            return cls(key=key, value=document(value), text=text)
        except StackFileError as error:
            raise Fault(f"{source}: {PROJECT}:{key}: {error}", 2) from None


Edits = Sequence[Edit]


def edited(config: Mapping[str, Any], edits: Edits) -> dict[str, Any]:
    """Stack configuration with edits; whether they make sense, its models say."""
    changed = copy.deepcopy(dict(config))
    for edit in edits:
        first, *path = edit.key.split(".")
        holder, last = changed, f"{PROJECT}:{first}"
        for step in path:
            if not isinstance(holder.get(last), dict):
                holder[last] = {}
            holder, last = holder[last], step
        holder[last] = edit.value
    return changed
