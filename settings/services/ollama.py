"""Ollama's settings and declaration."""

import re
from typing import Annotated, Literal

from pydantic import Field

from provision import specs
from settings.base import Container, Model, Port
from settings.defaults import always
from settings.service import Listener, Service

# Ollama's model names, with the tag: without one the newest would be pulled at each start.
ModelName = Annotated[
    str,
    Field(pattern=f"^{specs.MODEL_NAME}{specs.MODEL_TAG}$", examples=["llama3.2:3b"]),
]


def model_key(model: str) -> str:
    """By what a model's command is called in the state; two must not have the same."""
    return re.sub("[/:]", "-", model)


class Ollama(Model):
    """Ollama, with the node's GPU where there is one."""

    port: Port = 11434
    models: tuple[ModelName, ...] = Field(
        default=(), max_length=100, description="Models to have at hand, each with its tag"
    )
    context_length: int = Field(
        default=4096, ge=512, le=1_048_576, description="Tokens of context; memory grows with it"
    )
    keep_alive_minutes: int = Field(
        default=5, ge=0, le=1440, description="How long an idle model stays in memory"
    )
    gpu: bool = Field(default=False, description="Whether it gets the Docker host's GPU")
    # Ollama's image has Vulkan since 0.12.11 (ollama docs/docker.mdx, "Vulkan Support").
    gpu_type: Literal["nvidia", "render"] = Field(
        default="nvidia",
        description="How it reaches the GPU: NVIDIA's toolkit, or /dev/dri of an AMD or Intel one",
    )
    container: Annotated[Container, always({"memory_mib": 3072})]


SERVICE = Service(
    key="services.ollama",
    settings=Ollama,
    order=40,
    listeners=(
        Listener(
            name="ollama",
            scheme="http",
            exposure="gateway",
            inner_port=11434,
            page="/api/version",
            host_header="localhost:11434",  # it answers no other name than its own
        ),
    ),
)
