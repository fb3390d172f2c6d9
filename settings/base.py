"""What every settings model shares."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """A frozen model that refuses unknown keys, so that a misspelt setting is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# RFC 1123: what a host's label may be; also safe as a container's, volume's and resource's name.
Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
# Ports below 1024 are free to use: the engine publishes them, not the service's own user.
Port = Annotated[int, Field(ge=1, le=65535)]
# RFC 1035: a domain of labels, at most 253 characters, without a trailing dot.
Domain = Annotated[
    str,
    Field(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"),
    Field(max_length=253),
]


class Container(Model):
    """What a container may use of its Docker host."""

    # Docker refuses less than 6 MiB; nothing in this lab runs in under 32.
    memory_mib: int = Field(ge=32, description="Memory limit in MiB; there is no swap beyond it")
    cpus: float | None = Field(
        default=None, gt=0, le=512, description="CPU limit in cores; unset means no limit"
    )
