"""Every service's declaration, lowest layer first, and what is looked up in them."""

from settings import apps, foundation, platform, services
from settings.service import Listener, Secret, Service

SERVICES: tuple[Service, ...] = (
    *foundation.SERVICES,
    *platform.SERVICES,
    *services.SERVICES,
    *apps.SERVICES,
)
# Name -> the service that answers under it, and how.
LISTENERS: dict[str, tuple[Service, Listener]] = {
    listener.name: (service, listener) for service in SERVICES for listener in service.listeners
}
# Every password that Pulumi generates.
SECRETS: dict[str, Secret] = {
    secret.name: secret for service in SERVICES for secret in service.secrets
}
# `./lab secrets rotate NAME` raises the generation of these.
RENEWABLE = tuple(name for name, secret in SECRETS.items() if not secret.first_login_of)
FIXED = tuple(name for name, secret in SECRETS.items() if secret.first_login_of)


def why_fixed(name: str) -> str:
    """Why the secret `name` of FIXED cannot be rotated, and what to do."""
    server = SECRETS[name].first_login_of
    return (
        f"{server} takes it for its first administrator only: change it in {server}'s own page, "
        "after which `./lab logins` shows one that no longer holds"
    )
