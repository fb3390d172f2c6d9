"""What Docker, Linux and our own command line would have against what is registered."""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from provision import specs
from provision.faults import Invalid
from tests.harness.deploy import Deployed
from tests.harness.readers import MOST_WORD, host


def faults(done: Mapping[str, Deployed]) -> Iterator[str]:
    """What Docker, Linux and our own command line have against a deployment."""
    for layer in done.values():
        for container in layer.all("docker:index/container:Container"):
            yield from _container(container.name, container.inputs)
        for command in layer.all("command:local:Command"):
            yield from _command(command.name, command.inputs)


def _container(name: str, inputs: Mapping[str, Any]) -> Iterator[str]:
    # moby's names.RestrictedNameChars, and verifyContainerResources (daemon_unix.go): 6 MiB.
    called = (
        [inputs["name"], *(row["volumeName"] for row in inputs["volumes"] if "volumeName" in row)]
        if inputs.get("volumes")
        else [inputs["name"]]
    )
    if not all(re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", one) for one in called):
        yield f"{name}: names {called}"
    if inputs["memory"] < 6:
        yield f"{name}: memory {inputs['memory']}"
    names = [alias for row in inputs["networksAdvanced"] for alias in row["aliases"]]
    names += [row["host"] for row in inputs.get("hosts") or ()]
    yield from (f"{name}: no name of a host: {one}" for one in names if not host(one))
    for word in inputs.get("envs") or ():
        if len(word.encode()) >= MOST_WORD or not word.replace("\n", "").isprintable():
            yield f"{name}: environment {word[:80]!r}"


def _command(name: str, inputs: Mapping[str, Any]) -> Iterator[str]:
    texts = [inputs.get("create") or "", inputs.get("update") or "", inputs.get("delete") or ""]
    words = [
        *texts,
        *(f"{key}={value}" for key, value in (inputs.get("environment") or {}).items()),
    ]
    if any(len(word.encode()) >= MOST_WORD or "\0" in word for word in words):
        yield f"{name}: a word of more than {MOST_WORD} bytes, or with a zero"
    for text in texts:
        if "-m provision kafka" in text or "-m provision ollama" in text:
            yield from _asked(name, text)


def _asked(name: str, text: str) -> Iterator[str]:
    """What our command line has against what is asked of it."""
    _, _, _, kind, *words = shlex.split(text)
    given = dict(zip(words[::2], words[1::2], strict=False))
    fields = {key[2:].replace("-", "_"): value for key, value in given.items()}
    wanted = {
        key: value for key, value in fields.items() if key not in ("bootstrap", "url", "absent")
    }
    try:
        specs.parse(specs.KINDS[kind], wanted)
    except Invalid as error:
        yield f"{name}: {error}"
