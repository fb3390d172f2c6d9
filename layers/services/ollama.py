"""Ollama with its models."""

import shlex

import pulumi
import pulumi_command as command

from layers.context import Component, LayerContext
from layers.services.gateway import Gateway
from settings.services.ollama import Ollama as Settings
from settings.services.ollama import model_key
from targets import Container, Health


class Ollama(Component):
    """The server with its models."""

    TYPE = "datalab:services:Ollama"

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        wanted = context.get(Settings)
        render = wanted.gpu and wanted.gpu_type == "render"
        container = context.run(
            self,
            name,
            Container(
                image=context.image(Settings),
                memory_mib=wanted.container.memory_mib,
                cpus=wanted.container.cpus,
                environment={
                    "OLLAMA_HOST": "0.0.0.0:11434",
                    "OLLAMA_CONTEXT_LENGTH": str(wanted.context_length),
                    "OLLAMA_KEEP_ALIVE": f"{wanted.keep_alive_minutes}m",
                    **({"OLLAMA_VULKAN": "1"} if render else {}),
                },
                # A first start may be killed: all it makes is a key for signing in at a registry
                # (cmd/cmd.go, initializeKeypair), and a pull goes on with the parts that it has.
                volumes={"ollama-data": "/root/.ollama"},
                ports=context.ports("ollama"),
                gpu=wanted.gpu and not render,
                devices=("/dev/dri",) if render else (),
                health=Health(test=("CMD", "ollama", "ls")),
            ),
        )
        endpoint, trust = context.endpoint(name), context.trust
        # It answers for Ollama in the lab.
        front = [context.component(Gateway).container] if context.has("gateway") else []
        for model in wanted.models:
            words = [".venv/bin/python", "-m", "provision", "ollama", "--url", endpoint.url]
            command.local.Command(
                f"{model_key(model)}-model",
                create=shlex.join([*words, "--model", model]),
                # By address and with the lab's CA: this machine may know neither name nor CA yet.
                environment={
                    "OLLAMA_ADDRESS": str(endpoint.address),
                    "SSL_CERT_FILE": trust,
                },
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[container, *front],
                    # 40 GB over a home's line take hours.
                    custom_timeouts=pulumi.CustomTimeouts(create="4h", update="4h"),
                ),
            )
        self.register_outputs({"id": container.id})


COMPONENT = Ollama
