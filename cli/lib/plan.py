"""A preview, reduced to what may be shown: operations, types, names and property names.

`pulumi preview --json` masks what is marked secret, but shows inputs that never were
(pulumi#4957, pulumi-docker-build#403). So no value is ever taken from it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# The engine counts these; a reader changes nothing by them. Who runs `up` first builds an
# image, a person or the images job; what runs it shows that it changed.
UNSEEN = ("pulumi:pulumi:Stack", "pulumi:providers:", "docker:index/image:Image")
QUIET = ("same", "read", "refresh", "read-replacement", "read-discard", "discard")
# Halves of a replacement, which is also listed as one `replace`.
HALVES = ("create-replacement", "delete-replaced", "remove-pending-replace", "import-replacement")
# Types that hold what cannot be made again, also where somebody took their protection away first.
STATEFUL = (
    "docker:index/volume:Volume",
    "gitlab:index/group:Group",
    "gitlab:index/project:Project",
    "minio:index/s3Bucket:S3Bucket",
    "postgresql:index/database:Database",
    "proxmoxve:index/containerLegacy:ContainerLegacy",
    "proxmoxve:index/vmLegacy:VmLegacy",
    "vault:index/mount:Mount",
)
# A command that learns a machine's host key has this among its inputs, of what it is rebooted for
# when it changes (targets/guests.py); that which runs its roles has the driver whose change is only
# loaded by a reboot (ansible/roles/nvidia).
REBOOTS = {
    "-host-key": "environment.MACHINE_BOOT",
    "-roles": "stdin.variables.nvidia_driver.version",
}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, order=True)
class Step:
    """One change. `properties` are the names of the top-level inputs that differ.

    reboots is the machine that is rebooted with it, empty for none.
    """

    op: str
    type: str
    name: str
    properties: tuple[str, ...] = ()
    stateful: bool = False
    reboots: str = ""

    @classmethod
    def make(
        cls,
        op: str,
        kind: str,
        name: str,
        paths: Iterable[str],
        inner: Iterable[str] = (),
        *,
        held: bool = False,
    ) -> "Step":
        """A step by the paths of the inputs that differ; held says that it is protected.

        inner are paths that say more of the same.
        """
        differ = {*paths}
        # The top-level name only: below it stand keys, and a key can be anything.
        top = {match[0] for match in map(NAME.match, differ) if match}
        differ |= {*inner}
        return cls(
            op=op,
            type=kind,
            name=name,
            properties=tuple(sorted(top)),
            stateful=held or kind in STATEFUL,
            reboots="".join(
                name.removesuffix(suffix)
                for suffix, path in REBOOTS.items()
                if op == "update" and name.endswith(suffix) and path in differ
            ),
        )

    @property
    def kind(self) -> str:
        """The last part of its type."""
        return self.type.rpartition(":")[2]

    @property
    def destroys_data(self) -> bool:
        """Whether what it replaces or deletes holds data."""
        return self.stateful and self.op in ("replace", "delete")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The reviewed preview of one layer: of which tree of files, and what it would change."""

    layer: str
    tree: str
    steps: tuple[Step, ...] = ()
    failed: bool = False

    def count(self, op: str) -> int:
        """How many steps have this operation."""
        return sum(step.op == op for step in self.steps)

    def changes(self) -> list[dict[str, Any]]:
        """Every step by its names, for another program."""
        return [
            {"op": step.op, "type": step.type, "name": step.name, "properties": step.properties}
            for step in self.steps
        ]

    def report(self) -> dict[str, int]:
        """GitLab's Terraform report, which knows three operations; a replacement is two."""
        counts = {"create": 0, "update": 0, "delete": 0}
        for step in self.steps:
            for op in {"import": ("create",), "replace": ("create", "delete")}.get(
                step.op, (step.op if step.op in counts else "update",)
            ):
                counts[op] += 1
        return counts

    def write(self, folder: Path) -> None:
        """LAYER.json and GitLab's LAYER.report.json in `folder`."""
        folder.mkdir(exist_ok=True)
        (folder / f"{self.layer}.json").write_text(self.text())
        (folder / f"{self.layer}.report.json").write_text(json.dumps(self.report()))

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """What `text` wrote."""
        data = json.loads(text)
        steps = tuple(
            Step(**{**step, "properties": tuple(step["properties"])}) for step in data.pop("steps")
        )
        return cls(**data, steps=steps)


def reduce(layer: str, tree: str, preview: Mapping[str, Any]) -> Plan:
    """The plan of a `pulumi preview --json`."""
    found = filter(None, map(_step, preview.get("steps", ())))
    return Plan(layer=layer, tree=tree, steps=tuple(sorted(found)))


def _step(raw: Mapping[str, Any]) -> Step | None:
    kind, name = _urn(raw["urn"])
    if raw["op"] in QUIET or raw["op"] in HALVES or kind.startswith(UNSEEN):
        return None
    old: Mapping[str, Any] = raw.get("oldState") or {}
    paths = [*(raw.get("diffReasons") or ()), *(raw.get("replaceReasons") or ())]
    inner = raw.get("detailedDiff") or ()
    return Step.make(raw["op"], kind, name, paths, inner, held=bool(old.get("protect")))


def _urn(urn: str) -> tuple[str, str]:
    # urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME
    _, _, kinds, name = urn.split("::", 3)
    return kinds.rpartition("$")[2], name
