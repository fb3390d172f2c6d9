"""Reading what a layer registered for a container."""

from typing import Any

from tests.harness.deploy import Deployed, shared

ALLOW = {"common.unpinned_downloads": "allow"}  # tests have no images.sum
GITLAB = {"platform.gitlab.enabled": True, "common.target.memory_mib": 24576, **ALLOW}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dev": ("dev", ALLOW),
    "dev with GitLab": ("dev", GITLAB),
    "lab": ("lab", ALLOW),
}


def world(variant: str, preview: bool = False) -> dict[str, Deployed]:
    """All layers of a variant, run once for all tests."""
    environment, change = VARIANTS[variant]
    return shared(environment, change, preview=preview)


def container(layer: Deployed, name: str) -> dict[str, Any]:
    """The inputs of a container."""
    return layer.one("docker:index/container:Container", f"{name}-container").inputs


def variables(inputs: dict[str, Any]) -> dict[str, str]:
    """A container's environment."""
    return dict(line.split("=", 1) for line in inputs["envs"])


def files(inputs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A container's files by path."""
    return {file["file"]: file for file in inputs["uploads"]}


def published(inputs: dict[str, Any]) -> dict[int, int]:
    """A container's ports: outside -> inside."""
    return {port["external"]: port["internal"] for port in inputs.get("ports", [])}
