"""Downloads that nobody could tell from forged ones."""

from collections.abc import Iterable, Mapping
from typing import Literal

import pulumi

from targets import Role


def unpinned_fault(what: str, sha256: str, unpinned: Literal["refuse", "allow"]) -> str:
    """Why a download must not be used; empty where it may."""
    if sha256 or unpinned == "allow":
        return ""
    return (
        f"images.sum has no sum of {what}, so nobody could tell a forged file: run "
        "./lab pin on a connected machine, or set datalab:common.unpinned_downloads to allow"
    )


def require_checksum(what: str, sha256: str, unpinned: Literal["refuse", "allow"]) -> None:
    """Refuse to bring up what has no checksum; a preview only warns, as `./lab pin` comes later.

    Raises pulumi.RunError.
    """
    message = unpinned_fault(what, sha256, unpinned)
    if not message:
        return
    if not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(message)
    pulumi.log.warn(message)


def require_checksums(roles: Iterable[Role], unpinned: Literal["refuse", "allow"]) -> None:
    """The same for every download among the variables of roles."""
    for role in roles:
        for value in role.variables.values():
            if isinstance(value, Mapping) and "sha256" in value:
                require_checksum(str(value.get("url")), str(value["sha256"]), unpinned)
