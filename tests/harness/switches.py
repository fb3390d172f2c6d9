"""What can be switched off, by the declarations."""

from settings.declarations import SERVICES
from settings.switches import needed

# Keys of services with a switch of their own.
SWITCHES = [s.key for s in SERVICES if "enabled" in s.settings.model_fields]
# Pulumi manages what is in the others, and cannot keep it without them.
ALL_BUT_POSTGRESQL = [k for k in SWITCHES if k not in ("platform.gitlab", "services.postgresql")]


def switched_off(environment: str, *keys: str) -> list[str]:
    """These services and all that need one of them, directly or not."""
    target, off = {"dev": "docker", "lab": "proxmox"}[environment], list(keys)
    for key in off:  # it grows
        off += [s.key for s in SERVICES if key in needed(s, target) and s.key not in off]
    return off
