"""A Docker engine. Sources of each reason: rehearsal/refusals.yaml."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rehearsal.catalogue import at
from rehearsal.reach import listens, server
from rehearsal.refusals import RefusedError
from rehearsal.rules import Step, check, drifts, outputs, rule, tls
from rehearsal.wire import Unknown
from rehearsal.world import Mark

CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
BUILD = "docker:index/image:Image"
# Whole seconds as Go's time.Duration.String spells them, in which kreuzwerker reads them back.
GO_DURATION = re.compile(r"([1-9]\d*h([1-5]?\d)m|[1-9]m|[1-5]\dm)?[1-5]?\ds")


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _ports(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """(protocol, address, port) of what a container publishes."""
    for port in inputs.get("ports") or []:
        if port.get("external"):
            address = port.get("ip") or "0.0.0.0"  # noqa: S104 - Docker's default
            yield port.get("protocol") or "tcp", address, port["external"]


def _collide(one: str, other: str) -> bool:
    anywhere = {"0.0.0.0", "::"}  # noqa: S104 - addresses to compare, not to bind
    return one == other or bool({one, other} & anywhere)


@rule(CONTAINER)
def ports_are_free(step: Step) -> None:
    taken = {port for other in step.others(CONTAINER) for port in _ports(other.inputs)}
    for protocol, address, port in _ports(step.inputs):
        if any(p == protocol and n == port and _collide(a, address) for p, a, n in taken):
            raise RefusedError("docker-port-taken", name=step.name, address=address, port=port)
        taken.add((protocol, address, port))


@check("pulumi:providers:docker")
def certificate_and_key_belong_together(config: Mapping[str, Any]) -> None:
    certificate, key = config.get("certMaterial"), config.get("keyMaterial")
    if isinstance(certificate, Unknown) or isinstance(key, Unknown):
        return
    if bool(certificate) != bool(key):
        raise RefusedError("docker-material")
    if certificate and key and not tls.are_pair(certificate, key):
        raise RefusedError("docker-key-pair")


@rule(CONTAINER, on=("create",))
def image_is_there(step: Step) -> None:
    wanted = str(step.inputs["image"])
    if not wanted.startswith("sha256:"):
        return  # the provider pulls a reference that is not there
    stayed = (mark.unique for mark in step.world.marked if mark.scope == step.scope)
    if [wanted] not in stayed and not any(
        wanted == image.get("imageId") for image in step.others(IMAGE)
    ):
        raise RefusedError("docker-image-unknown", image=wanted)


@rule(IMAGE)
def image_can_be_pulled(step: Step) -> None:
    name = str(step.inputs["name"])
    if name.startswith(step.world.facts.built_here) and name not in _built(step):
        raise RefusedError("docker-manifest-unknown", name=name)


def _built(step: Step) -> set[str]:
    """References of what was pushed, and of what stayed in this engine."""
    found: set[str] = set()
    for image in step.world.find(BUILD):
        if not image.get("skipPush") or image.scope == step.scope:
            found |= {image.get("imageName"), image.get("repoDigest")}
    return found


@rule(IMAGE, on=("delete",))
def image_is_not_used(step: Step) -> None:
    if step.inputs.get("keepLocally"):
        # Only the state loses it (kreuzwerker resource_docker_image_funcs.go, removeImage).
        host, port = server("docker", step.config) or ("", 0)
        unique = [step.existing.get("imageId")]
        mark = Mark(type=IMAGE, scope=step.scope, unique=unique, host=host, port=port)
        step.world.marked.append(mark)
        return
    for container in step.others(CONTAINER):
        if container.get("image") in (step.existing.get("imageId"), step.existing.get("name")):
            raise RefusedError(
                "docker-image-in-use", name=step.existing.get("name"), container=container.id[:12]
            )


@rule(CONTAINER)
def memory_makes_sense(step: Step) -> None:
    memory, swap = step.inputs.get("memory", 0), step.inputs.get("memorySwap", 0)
    if 0 < swap < memory:
        raise RefusedError("docker-memory-swap")


@rule(CONTAINER)
def mounts_make_sense(step: Step) -> None:
    seen = set()
    for path in (*at(step.inputs, "volumes[].containerPath"), *at(step.inputs, "mounts[].target")):
        if path in seen:
            raise RefusedError("docker-mount-twice", path=path)
        seen.add(path)


@rule(CONTAINER, on=("create",))
def wait_has_something_to_wait_for(step: Step) -> None:
    if step.inputs.get("wait") and not step.inputs.get("healthcheck"):
        raise RefusedError("docker-wait")


@rule(BUILD)
def dockerfile_is_there(step: Step) -> None:
    location = next(at(step.inputs, "build.context"), ".")
    if "://" in location:
        return
    folder = Path(step.world.facts.folder)
    file = next(at(step.inputs, "build.dockerfile"), None)
    path = folder / file if file else folder / location / "Dockerfile"
    if not path.is_file():
        raise RefusedError("docker-dockerfile", file=path.name)


@rule(BUILD)
def registry_answers(step: Step) -> None:
    server = next(at(step.inputs, "registry.server"), None)
    if server is None or step.inputs.get("skipPush"):
        return
    parts = urlsplit(server if "://" in server else f"//{server}")
    host, port = parts.hostname or "", parts.port or 443
    if not listens(step.world, host, port):
        raise RefusedError("nothing-listens", host=host, port=port)


@outputs(CONTAINER)
def container_outputs(step: Step) -> dict[str, Any]:
    number = step.world.next_serial()
    return {"hostname": step.inputs.get("hostname", f"{number:012x}")}


@outputs(IMAGE)
def image_outputs(step: Step) -> dict[str, Any]:
    name = str(step.inputs["name"])
    repository = re.sub(r"(:[\w][\w.-]*)?(@sha256:.*)?$", "", name)
    digest = re.search(r"@(sha256:.*)$", name)
    return {
        "imageId": _digest(name),
        "repoDigest": f"{repository}@{digest[1] if digest else _digest(f'{name} manifest')}",
    }


@outputs(BUILD)
def build_outputs(step: Step) -> dict[str, Any]:
    name = str(step.inputs["imageName"])
    digest = _digest(repr(sorted(step.inputs.items())))
    pushed = "" if step.inputs.get("skipPush") else f"{name.rpartition(':')[0]}@{digest}"
    return {"baseImageName": name, "repoDigest": pushed}


def _read_back(cpus: str) -> str:
    """A CPU limit as nanoInt64ToDecimalString (kreuzwerker helpers.go) spells it."""
    text = f"{Decimal(cpus):.9f}"
    return f"{Decimal(cpus):.1f}" if text.count("0") == 9 else text.rstrip("0")


@drifts(CONTAINER)
def read_back_differently(inputs: Mapping[str, Any]) -> set[str]:
    found = set()
    if inputs.get("memory") and not inputs.get("memorySwap"):
        found.add("memorySwap")  # read back as twice the memory; seen with the upstream provider
    cpus = inputs.get("cpus")
    if isinstance(cpus, str) and cpus != _read_back(cpus):
        found.add("cpus")
    health = inputs.get("healthcheck") or {}
    times = (health.get(name) for name in ("interval", "timeout", "startPeriod", "startInterval"))
    if any(isinstance(time, str) and not GO_DURATION.fullmatch(time) for time in times):
        found.add("healthcheck")
    image = inputs.get("image")
    if isinstance(image, str) and not image.startswith("sha256:"):
        found.add("image")  # read back as an id: kreuzwerker#49
    return found
