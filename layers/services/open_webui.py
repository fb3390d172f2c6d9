"""Open WebUI, the chat page in front of Ollama."""

from pathlib import Path

import pulumi

from layers.context import Component, LayerContext
from settings.services.open_webui import OpenWebUi as Settings
from targets import Container, File, Health

FILES = Path(__file__).parent / "files"
START = "/etc/datalab/start.py"  # around the image's own start
SECRETS = "/run/secrets"


class OpenWebUi(Component):
    """The chat page."""

    TYPE = "datalab:services:OpenWebUi"

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        wanted, endpoint = context.get(Settings), context.endpoint(name)
        container = context.run(
            self,
            name,
            Container(
                image=context.image(Settings),
                entrypoint=["python", START],
                files={
                    START: File(content=(FILES / "open-webui.py").read_text()),
                    # Variables for the server alone, which `docker inspect` does not show.
                    f"{SECRETS}/WEBUI_ADMIN_PASSWORD": File(
                        content=context.secret("open-webui-admin"), mode="0400"
                    ),
                    # Else another in every container, which logs everybody out.
                    f"{SECRETS}/WEBUI_SECRET_KEY": File(
                        content=context.secret("open-webui-session"), mode="0400"
                    ),
                },
                memory_mib=wanted.container.memory_mib,
                cpus=wanted.container.cpus,
                environment={
                    "OLLAMA_BASE_URL": context.endpoint("ollama").inner_url,
                    # Else the first start's values are stored and these are ignored ever after.
                    "ENABLE_PERSISTENT_CONFIG": "False",
                    "ENABLE_OPENAI_API": "False",
                    "ENABLE_VERSION_UPDATE_CHECK": "False",
                    # Without users yet, the first visitor would become the administrator.
                    "ENABLE_SIGNUP": "False",
                    "WEBUI_ADMIN_EMAIL": wanted.admin_email,
                    "WEBUI_URL": endpoint.url,
                    "CORS_ALLOW_ORIGIN": endpoint.url,
                    "WEBUI_SESSION_COOKIE_SECURE": str(endpoint.scheme == "https"),
                },
                # All that it writes is root's, whose it is (open-webui's Dockerfile: UID=0).
                capabilities=(),
                volumes={"open-webui-data": "/app/backend/data"},
                ports=context.ports("open-webui"),
                # It loads its embedding model first.
                health=Health(
                    test=("CMD", "curl", "-fsS", "http://127.0.0.1:8080/health/db"),
                    interval_s=15,
                    wait_s=600,
                ),
            ),
        )
        self.register_outputs({"id": container.id})


COMPONENT = OpenWebUi
