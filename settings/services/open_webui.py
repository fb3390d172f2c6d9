"""Open WebUI's settings and declaration."""

from typing import Annotated

from pydantic import Field

from settings.addresses import Email
from settings.base import Container, Port, Switched
from settings.defaults import always
from settings.service import Listener, Login, Secret, Service


class OpenWebUi(Switched):
    """Open WebUI, a chat page for Ollama."""

    port: Port = 8080
    admin_email: Email = Field(
        default="admin@lab.home.arpa", description="Sign-in name of the administrator"
    )
    container: Annotated[Container, always({"memory_mib": 1536})]


SERVICE = Service(
    key="services.open_webui",
    settings=OpenWebUi,
    order=50,
    needs=("services.ollama",),
    listeners=(
        Listener(
            name="open-webui",
            credential="a user with a password",
            scheme="http",
            exposure="gateway",
            inner_port=8080,
            label="Open WebUI",
            page="/health",
        ),
    ),
    secrets=(
        Secret(name="open-webui-admin", first_login_of="Open WebUI"),
        Secret(name="open-webui-session"),
    ),
    login=Login(
        secret="open-webui-admin",  # noqa: S106 - a name
        listener="open-webui",
        user_setting="admin_email",
    ),
)
