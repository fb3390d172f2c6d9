"""What every settings model shares."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

T = TypeVar("T")


class Model(BaseModel):
    """A frozen model that refuses unknown keys, so that a misspelt setting is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# A path has at most 1,024 bytes (macOS; Linux 4,096), and a name in it 255: the lab's own files and
# a home folder come on top.
MOST_PATH = 768


def _folder(path: PurePath) -> PurePath:
    """A home folder (`~`, `~name`) in full, as no shell reads the settings before the lab does."""
    text = str(path)
    if path == PurePath() or "\0" in text:
        raise ValueError("names no folder; write one such as .state/rescue")
    if "$" in text:
        raise ValueError(f"{text} has a $, and variables are not read here; write ~ or the path")
    if len(os.fsencode(text)) > MOST_PATH or any(len(os.fsencode(p)) > 255 for p in path.parts):
        raise ValueError(f"is longer than a folder's name can be; the most is {MOST_PATH} bytes")
    whole = os.path.expanduser(text)  # noqa: PTH111 - Path's raises where there is no such user
    if whole.startswith("~"):
        name = path.parts[0][1:]
        raise ValueError(f"{text}: this machine has no user {name}; write the whole path")
    return PurePath(whole)


# RFC 1123: what a host's label may be; also safe as a container's, volume's and resource's name.
Name = Annotated[
    str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", examples=["docker", "my-lab2"])
]
# Ports below 1024 are free to use: the engine publishes them, not the service's own user.
Port = Annotated[
    int, Field(ge=1, le=65535, description="Port at which the host that it runs on publishes it")
]
# Far more than any machine of this lab, and what all that gets them takes: PostgreSQL's
# maintenance_work_mem, a sixteenth of its container's memory, ends at 2 TiB (guc_tables.c).
MOST_MIB = 4_194_304
MOST_GIB = 1_048_576
# RFC 1035: a domain of labels, at most 253 characters, without a trailing dot.
Domain = Annotated[
    str,
    Field(
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
        examples=["lab.home.arpa"],
    ),
    Field(max_length=253),
]
# RFC 7617: a colon ends the name that a password belongs to.
User = Annotated[str, Field(pattern=r"^[!-9;-~]+$", examples=["someone"]), Field(max_length=255)]
Folder = Annotated[PurePath, AfterValidator(_folder)]


class Container(Model):
    """What a container may use of its Docker host."""

    # Docker refuses less than 6 MiB; nothing in this lab runs in under 32.
    memory_mib: int = Field(
        ge=32, le=MOST_MIB, description="Memory limit in MiB; there is no swap beyond it"
    )
    # In tenths: the provider reads hundredths back rounded, and would see a change at every `up`
    # (terraform-provider-docker, nanoInt64ToDecimalString).
    cpus: float | None = Field(
        default=None,
        ge=0.1,
        le=512,
        multiple_of=0.1,
        description="CPU limit in cores, in tenths; unset means no limit",
    )


class Switched(Model):
    """What can be switched off."""

    enabled: bool = Field(
        default=True, description="Whether it runs; what it has stored is kept while it does not"
    )


def dotted(location: Sequence[str | int]) -> str:
    """A location as Pulumi writes paths: `platform.gitlab.port`, `models[0]`, `topics["a b"]`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w:-]{1,80}", part, re.ASCII):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part[:80])}]"
    return text


def walk(model: Model, kind: type[T], at: tuple[str, ...] = ()) -> Iterator[tuple[str, T]]:
    """(dotted key, value) of everything of type `kind` in the tree under `model`."""
    for name, value in model.__dict__.items():
        children = value.items() if isinstance(value, dict) else [(None, value)]
        for child, part in children:
            path = (*at, name) if child is None else (*at, name, child)
            if isinstance(part, kind):
                yield dotted(path), part
            elif isinstance(part, Model):
                yield from walk(part, kind, path)
