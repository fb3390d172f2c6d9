"""Ollama's settings and declaration."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from provision import specs
from settings.base import Container, Port, Switched
from settings.defaults import always
from settings.platform.docker import DockerHost
from settings.sections import Fault
from settings.service import Listener, Service
from settings.target import ProxmoxTarget

# Ollama's model names, with the tag: without one the newest would be pulled at each start.
ModelName = Annotated[
    str,
    Field(pattern=f"^{specs.MODEL_NAME}{specs.MODEL_TAG}$", examples=["llama3.2:3b"]),
]


def model_key(model: str) -> str:
    """By what a model's command is called in the state; two must not have the same."""
    return re.sub("[/:]", "-", model)


class Ollama(Switched):
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


def models(ollama: Ollama) -> Iterator[Fault]:
    """No model is wanted twice; Ollama tells names apart without their case."""
    owners: dict[str, str] = {}
    for number, model in enumerate(ollama.models):
        key = f"services.ollama.models[{number}]"
        for name in (specs.Ollama(model=model).listed.lower(), model_key(model)):
            owner = owners.setdefault(name, key)
            if owner != key:
                yield key, f"{model} cannot be told from {owner}, as both are {name}; remove one"
                break


def gpu(node: ProxmoxTarget, docker: DockerHost, ollama: Ollama) -> Iterator[Fault]:
    """On target `proxmox` Ollama's GPU is the Docker VM's, and of its type."""
    machine = docker.machine
    if not (ollama.enabled and ollama.gpu) or machine is None:
        return
    if not machine.devices:
        text = "the Docker VM has none; set platform.docker.machine.gpu, or this to false"
        yield "services.ollama.gpu", text
        return
    types = {node.pci[name].gpu_type for name in machine.devices if name in node.pci}
    if types and ollama.gpu_type not in types:
        found = ", ".join(sorted(str(type_ or "another vendor's") for type_ in types))
        text = f"{ollama.gpu_type} is not what the Docker VM has: {found}"
        yield "services.ollama.gpu_type", f"{text}; see common.target.pci"


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
    rules=(models, gpu),
)
