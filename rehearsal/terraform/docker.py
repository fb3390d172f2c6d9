"""pulumi-docker's resources by the real provider that it wraps.

`docker.Image`, which the official plugin adds in its own code, is left to the class below this one.
"""

import re

from rehearsal.rules.docker import BUILD


def kind(token: str) -> str | None:
    """The Terraform type of a resource type of the package."""
    if token == BUILD:
        return None
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", token.rpartition(":")[2]).lower()
    return f"docker_{name.removeprefix('remote_')}"
