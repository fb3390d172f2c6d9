"""Providers without a server: random values and commands. Commands are recorded, never run."""

import base64
import json
import secrets
import string
from collections.abc import Mapping
from typing import Any

from rehearsal.physics import Step, check, outputs, rule
from rehearsal.reach import listens
from rehearsal.refusals import RefusedError

PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105 - a type
LOCAL = "command:local:Command"
SPECIAL = "!@#$%&*()-_=+[]{}<>:?"  # the provider's own, by its documentation
CLASSES = {
    "Upper": string.ascii_uppercase,
    "Lower": string.ascii_lowercase,
    "Numeric": string.digits,
}


def _classes(inputs: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Class -> (its characters, how many at least), of those that are switched on."""
    special = inputs.get("overrideSpecial") or SPECIAL
    found = {}
    for name, characters in {**CLASSES, "Special": special}.items():
        if inputs.get(name.lower(), inputs.get("number", True) if name == "Numeric" else True):
            found[name] = (characters, inputs.get(f"min{name}", 0))
    return found


@check(PASSWORD)
def length_is_enough(inputs: Mapping[str, Any]) -> None:
    length = inputs.get("length")
    if not isinstance(length, int):
        return
    least = sum(inputs.get(f"min{name}", 0) for name in (*CLASSES, "Special"))
    if length < 1:
        raise RefusedError("random-length", at="length")
    if length < least:
        raise RefusedError("random-minimum", at="length", length=length, least=least)
    if not _classes(inputs):
        raise RefusedError("random-classes", at="special")


@outputs(PASSWORD)
def random_password(step: Step) -> dict[str, Any]:
    classes = _classes(step.inputs)
    chosen = [secrets.choice(c) for c, least in classes.values() for _ in range(least)]
    every = "".join(characters for characters, _ in classes.values())
    chosen += [secrets.choice(every) for _ in range(step.inputs["length"] - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    # Not a hash of the password: nobody is let in by it here.
    bcrypt = f"$2a$10${secrets.token_urlsafe(40)[:53]}"
    return {"result": "".join(chosen), "bcryptHash": bcrypt}


@outputs("random:index/randomId:RandomId")
def random_id(step: Step) -> dict[str, Any]:
    made = secrets.token_bytes(step.inputs["byteLength"])
    prefix = step.inputs.get("prefix", "")
    return {
        "hex": prefix + made.hex(),
        "dec": prefix + str(int.from_bytes(made)),
        "b64Std": prefix + base64.b64encode(made).decode(),
        "b64Url": prefix + base64.urlsafe_b64encode(made).decode().rstrip("="),
    }


@outputs(LOCAL)
def command_outputs(step: Step) -> dict[str, Any]:
    return {"stdout": "", "stderr": ""}


@rule(LOCAL)
def host_is_there(step: Step) -> None:
    """The host of one of the lab's own commands, which go over SSH by themselves."""
    host = (step.inputs.get("environment") or {}).get("SSH_ADDRESS")
    if host is None and str(step.inputs.get("stdin", "")).startswith("{"):
        try:
            host = json.loads(step.inputs["stdin"]).get("address")
        except ValueError:
            return
    if host and not listens(step.world, host, 22):
        raise RefusedError("command-unreachable", host=host)
