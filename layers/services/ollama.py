"""Ollama, and the chat page in front of it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command

from layers.engine import Engine
from places import Container, File, Health
from settings import images
from settings.services.ollama import model_key

FILES = Path(__file__).parent / "files"
START = "/etc/datalab/start.py"  # around the start of Open WebUI's image


@dataclass(frozen=True, kw_only=True)
class OllamaArgs:
    """trust is the path of the lab CA's certificate; gateway is what answers for it in the lab."""

    engine: Engine
    trust: pulumi.Input[str]
    gateway: pulumi.Resource


class Ollama(pulumi.ComponentResource):
    """The server with its models."""

    def __init__(self, name: str, args: OllamaArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:services:Ollama", name, None, opts)
        wanted = args.engine.settings.services.ollama
        render = wanted.gpu and wanted.gpu_type == "render"
        container = args.engine.run(
            self,
            name,
            Container(
                image=images.image("ollama"),
                memory_mib=wanted.container.memory_mib,
                cpus=wanted.container.cpus,
                environment={
                    "OLLAMA_HOST": "0.0.0.0:11434",
                    "OLLAMA_CONTEXT_LENGTH": str(wanted.context_length),
                    "OLLAMA_KEEP_ALIVE": f"{wanted.keep_alive_minutes}m",
                    **({"OLLAMA_VULKAN": "1"} if render else {}),
                },
                volumes={"ollama-data": "/root/.ollama"},
                ports=args.engine.ports("ollama"),
                gpu=wanted.gpu and not render,
                devices=("/dev/dri",) if render else (),
                health=Health(test=("CMD", "ollama", "ls")),
            ),
        )
        endpoint = args.engine.endpoint(name)
        for model in wanted.models:
            words = [".venv/bin/python", "-m", "provision", "ollama", "--url", endpoint.url]
            command.local.Command(
                f"{model_key(model)}-model",
                create=shlex.join([*words, "--model", model]),
                # By address and with the lab's CA: this machine may know neither name nor CA yet.
                environment={
                    "OLLAMA_ADDRESS": str(endpoint.address),
                    "SSL_CERT_FILE": args.trust,
                },
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[container, args.gateway],
                    # 40 GB over a home's line take hours.
                    custom_timeouts=pulumi.CustomTimeouts(create="4h", update="4h"),
                ),
            )
        self.register_outputs({"id": container.id})


@dataclass(frozen=True, kw_only=True)
class OpenWebUiArgs:
    """The administrator's password and the key of the sessions."""

    engine: Engine
    password: pulumi.Input[str]
    session_key: pulumi.Input[str]


class OpenWebUi(pulumi.ComponentResource):
    """The chat page."""

    def __init__(self, name: str, args: OpenWebUiArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:services:OpenWebUi", name, None, opts)
        wanted, endpoint = args.engine.settings.services.open_webui, args.engine.endpoint(name)
        container = args.engine.run(
            self,
            name,
            Container(
                image=images.image("open-webui"),
                entrypoint=["python", START],
                files={START: File(content=(FILES / "open-webui.py").read_text())},
                memory_mib=wanted.container.memory_mib,
                cpus=wanted.container.cpus,
                environment={
                    "OLLAMA_BASE_URL": args.engine.endpoint("ollama").inner_url,
                    # Else the first start's values are stored and these are ignored ever after.
                    "ENABLE_PERSISTENT_CONFIG": "False",
                    "ENABLE_OPENAI_API": "False",
                    "ENABLE_VERSION_UPDATE_CHECK": "False",
                    # Without users yet, the first visitor would become the administrator.
                    "ENABLE_SIGNUP": "False",
                    "WEBUI_ADMIN_EMAIL": wanted.admin_email,
                    "WEBUI_ADMIN_PASSWORD": pulumi.Output.secret(args.password),
                    # Else made anew in every container, which logs everybody out.
                    "WEBUI_SECRET_KEY": pulumi.Output.secret(args.session_key),
                    "WEBUI_URL": endpoint.url,
                    "CORS_ALLOW_ORIGIN": endpoint.url,
                    "WEBUI_SESSION_COOKIE_SECURE": str(endpoint.scheme == "https"),
                },
                volumes={"open-webui-data": "/app/backend/data"},
                ports=args.engine.ports("open-webui"),
                # It loads its embedding model first.
                health=Health(
                    test=("CMD", "curl", "-fsS", "http://127.0.0.1:8080/health/db"),
                    interval_s=15,
                    wait_s=600,
                ),
            ),
        )
        self.register_outputs({"id": container.id})
