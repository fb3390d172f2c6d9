"""Providers without a server: random values and commands. Commands are recorded, never run."""

import base64
import json
import secrets
import string
from typing import Any

from rehearsal.reach import listens
from rehearsal.refusals import RefusedError
from rehearsal.rules import Step, outputs, rule

PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105 - a type
LOCAL = "command:local:Command"
SPECIAL = "!@#$%&*()-_=+[]{}<>:?"  # the provider's own, by its documentation
CLASSES = {
    "upper": string.ascii_uppercase,
    "lower": string.ascii_lowercase,
    "numeric": string.digits,
}


@outputs(PASSWORD)
def random_password(step: Step) -> dict[str, Any]:
    classes = CLASSES | {"special": step.inputs.get("overrideSpecial") or SPECIAL}
    every = "".join(
        characters for name, characters in classes.items() if step.inputs.get(name, True)
    )
    made = "".join(secrets.choice(every) for _ in range(step.inputs["length"]))
    # Not a hash of the password: nobody is let in by it here.
    return {"result": made, "bcryptHash": f"$2a$10${secrets.token_urlsafe(40)[:53]}"}


@outputs("random:index/randomId:RandomId")
def random_id(step: Step) -> dict[str, Any]:
    made = secrets.token_bytes(step.inputs["byteLength"])
    prefix = step.inputs.get("prefix", "")
    text = base64.urlsafe_b64encode(made).decode().rstrip("=")
    return {"hex": prefix + made.hex(), "b64Url": prefix + text}


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
