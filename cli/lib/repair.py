"""`./lab repair`: makes a stack usable again after its `up` was killed.

The engine leaves a lock, and for each create under way a pending operation. It cannot know
whether the provider acted; every later `up` would try again and end in "name already in use".
"""

import json
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from cli.lib import lookup
from cli.lib.fault import Fault, say
from cli.lib.pulumi import Engine, visible

# (type, inputs, the provider's inputs) -> the id, or None where there is no such thing.
Find = Callable[[str, Mapping[str, Any], Mapping[str, Any]], str | None]
# How Pulumi names a lock that is in its way, and what Go says of one that is no JSON or not a
# lock's (pkg/backend/diy/lock.go).
HELD = re.compile(r"created by (.*)@([^@]*) \(pid (\d+)\) at (\S+)")
NO_LOCK = ("unexpected end of JSON input", "invalid character", "json: cannot unmarshal")
# What else is said of a type that is adopted.
SLOW = {
    # Its own settings say 2 minutes, but they are not in the state yet (bpg#2084).
    "proxmoxve:index/vmLegacy:VmLegacy": " (15 minutes while no guest agent runs in it)",
}


@dataclass(frozen=True, kw_only=True)
class Lock:
    """Who holds a stack, from the backend's lock file; without a host, nobody knows."""

    user: str = ""
    host: str = ""
    pid: int = 0
    since: str = ""

    def __str__(self) -> str:
        if not self.host:
            return "its lock cannot be read, so by whom is unknown"
        return f"{self.user}@{self.host}, process {self.pid}, since {self.since[:19]}"

    @property
    def dead(self) -> bool | None:
        """Whether its process has ended; None where only the other host could tell."""
        if self.host != platform.node():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        try:  # the number may have been given to another program since
            return "pulumi" not in Path(f"/proc/{self.pid}/comm").read_text()
        except OSError:
            return False


@cache
def import_ids() -> dict[str, str]:
    """Resource type -> template of its id, `find`, `renew` or `forget`; see the file's head."""
    text = (Path(__file__).parent / "repair_ids.yaml").read_text(encoding="utf-8")
    table: dict[str, str] = yaml.safe_load(text)
    return table


def locks(engine: Engine, stack: str) -> list[Lock]:
    """The locks of `stack`; Fault where the backend does not tell."""
    url = urlsplit(engine.variables["PULUMI_BACKEND_URL"])
    return in_files(engine, stack) if url.scheme == "file" else told(engine, stack)


def in_files(engine: Engine, stack: str) -> list[Lock]:
    """The locks of `stack` in the backend's folder; none where it is no folder."""
    url = urlsplit(engine.variables["PULUMI_BACKEND_URL"])
    if url.scheme != "file":
        return []
    folder = Path(unquote(url.path)) / ".pulumi" / "locks" / "organization"
    found = []
    for file in folder.glob(f"*/{stack}/*.json"):
        try:
            held = json.loads(file.read_text())
            lock = Lock(
                user=held["username"],
                host=held["hostname"],
                pid=held["pid"],
                since=held["timestamp"],
            )
        except FileNotFoundError:
            continue  # it was given back meanwhile
        except (ValueError, KeyError, TypeError):
            lock = Lock()  # the disk was full, or the machine lost power
        found.append(lock)
    return found


def told(engine: Engine, stack: str) -> list[Lock]:
    """The locks of `stack` in a store, which only Pulumi itself can read: its refusal names them.

    Given its own name a stack is locked, found to have that name already, and left as it was.
    """
    try:
        engine.capture("stack", "rename", stack, "-s", stack)
        return []
    except Fault as fault:
        said = str(fault)
        if "already exists" in said:
            return []
        if found := HELD.findall(said):
            return [
                Lock(user=user, host=host, pid=int(pid), since=since)
                for user, host, pid, since in found
            ]
        if any(words in said for words in NO_LOCK):
            return [Lock()]
        raise


def leftovers(engine: Engine, stack: str, held: Sequence[Lock]) -> list[str]:
    """What a killed `up` left of `stack`, one line each; empty where it is in order.

    held is what locks() or in_files() found.
    """
    lines = [
        f"{stack} is locked{' by a process that has ended' if lock.dead else ''}: {lock}"
        for lock in held
        if lock.dead or not lock.host
    ]
    deployment = json.loads(engine.capture("stack", "export", "-s", stack))["deployment"]
    lines += [
        f"{stack} was interrupted while {operation['type']} {operation['resource']['urn']}"
        for operation in deployment.get("pending_operations") or []
    ]
    return lines + [
        f"{stack}: an earlier repair could not read {urn}" for urn in unread(deployment)
    ]


def unread(deployment: Mapping[str, Any]) -> list[str]:
    """URNs of resources that a repair adopted and no refresh has read yet."""
    return [
        entry["urn"]
        for entry in deployment.get("resources") or []
        if entry.get("id")
        and entry.get("inputs")
        and not entry.get("outputs")
        and not entry["type"].startswith("pulumi:")
    ]


def fix(engine: Engine, stack: str, find: Find = lookup.find) -> None:
    """Remove dead locks and settle pending operations; Fault where a lock may be alive.

    `find` is how the ids of running things are looked up; the rehearsal has its own world to ask.
    """
    held = locks(engine, stack)
    for lock in held:
        if lock.dead is None:
            there = "Run ./lab repair on that machine, or, when" if lock.host else "When"
            raise Fault(
                f"{stack} is locked: {lock}. {there} that process has surely ended, "
                f"pulumi cancel -s {stack}"
            )
        if not lock.dead:
            raise Fault(f"{stack} is in use: {lock}. Wait for it to end")
    if held:
        say(f"removing the lock of {held[0]}")
        engine.capture("cancel", "--yes", "-s", stack)
    settle(engine, stack, find)


def settle(engine: Engine, stack: str, find: Find) -> None:
    """Replace each pending operation by what is true.

    A pending create becomes a resource with its known id; the refresh that follows reads it, or
    drops it where there is no such thing. What was being updated or deleted is read again.
    """
    state = json.loads(engine.capture("stack", "export", "-s", stack))
    deployment = state["deployment"]
    pending = deployment.pop("pending_operations", None) or []
    targets = unread(deployment)
    if not pending and not targets:
        say(f"{stack}: nothing is pending")
        return
    clear = json.loads(engine.capture("stack", "export", "-s", stack, "--show-secrets"))
    in_clear = clear["deployment"].get("pending_operations") or []
    renewed = []
    for operation, plain in zip(pending, in_clear, strict=True):
        resource, urn = operation["resource"], operation["resource"]["urn"]
        if not resource.get("custom"):
            continue  # a component, which is nothing outside of the state
        if operation["type"] == "creating":
            known = identify(plain["resource"], clear["deployment"]["resources"], find)
            if known is None:
                say(f"{urn}: not there; the next up makes it")
                continue
            say(f"{urn}: looking for {known}{SLOW.get(resource['type'], '')}")
            adopt(deployment["resources"], {**resource, "id": known, "outputs": {}})
            if import_ids()[resource["type"]] == "renew":
                renewed.append(urn)
        if any(entry["urn"] == urn for entry in deployment["resources"]):
            targets.append(urn)
    engine.capture("stack", "import", "-s", stack, text=json.dumps(state))
    if not targets:
        return
    wanted = [word for urn in dict.fromkeys(targets) for word in ("--target", urn)]
    code = engine.run("refresh", "-s", stack, "--yes", "--skip-preview", *wanted)
    if code:
        raise Fault(
            f"{stack}: what was interrupted could not be read. Fix what the message above says, "
            "then repair again",
            code,
        )
    if renewed:
        renew(engine, stack, renewed)


def renew(engine: Engine, stack: str, urns: Sequence[str]) -> None:
    """Let the next `up` delete what was found and make another."""
    for urn in urns:
        say(f"{urn}: its secret was told once; renewing it")
    engine.capture("state", "taint", *urns, "-s", stack, "--yes")


def identify(
    resource: Mapping[str, Any], resources: list[dict[str, Any]], find: Find
) -> str | None:
    """The id under which a pending create would exist; None where there is nothing to look for."""
    kind, inputs = resource["type"], dict(visible(resource.get("inputs", {})))
    way = import_ids().get(kind)
    if way is None:
        name = resource["urn"].rpartition("::")[2]
        say(f"{kind} is not in cli/lib/repair_ids.yaml; look whether {name} exists twice")
        return None
    if way in ("find", "renew"):
        reference = str(resource.get("provider", "")).rpartition("::")[0]
        provider = next((entry for entry in resources if entry["urn"] == reference), {})
        return find(kind, inputs, dict(visible(provider.get("inputs", {}))))
    return import_id(kind, inputs)


def import_id(kind: str, inputs: Mapping[str, Any]) -> str | None:
    """The id by which a thing of these inputs is imported; None where they do not say it."""
    way = import_ids().get(kind, "forget")
    if way in ("find", "forget", "renew"):
        return None
    try:
        return way.format_map({"environmentScope": "*", **inputs})
    except KeyError:
        return None


def adopt(resources: list[dict[str, Any]], made: dict[str, Any]) -> None:
    """Put `made` into the state; what it was to replace is gone, or waits for its deletion.

    In that one's place: what depends on it comes later, or Pulumi refuses the state.
    """
    places = [at for at, entry in enumerate(resources) if entry["urn"] == made["urn"]]
    place = min(places, default=len(resources))
    for at in reversed(places):
        if resources[at].get("pendingReplacement"):
            del resources[at]
        else:
            resources[at]["delete"] = True
    resources.insert(place, made)
