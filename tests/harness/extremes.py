"""Settings at the ends that their models allow, as many in one environment as go together."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from settings import SettingsError, load
from settings.addresses import MOST_URL
from settings.base import MOST_GIB, MOST_MIB, dotted
from settings.declarations import RENEWABLE
from settings.faults import resolve
from settings.foundation.cache import LINKING, MOST_ADDRESSES, MOST_UPSTREAMS
from settings.foundation.object_store import MOST_BUCKETS
from settings.services.gitlab_project import MOST_PULLING_GROUPS, MOST_SCHEDULES
from settings.services.kafka import MOST_PARTITIONS, MOST_TOPICS
from settings.services.lakehouse import CATALOGS, MOST_CATALOGS
from settings.services.postgresql import EXTENSIONS, MOST_DATABASES
from tests.harness.patched import patch, patched

Place = tuple[str, ...]
LABEL = "a" * 63
HOST = f"{LABEL}.{LABEL}.{LABEL}.{'a' * 61}"  # the longest name in DNS
LONGEST_DOMAIN = f"{LABEL}.{'a' * 35}"
TOPIC, MODEL = "a" * 245, f"{'h' * 253}/{'n' * 80}/{'m' * 78}"
FOLDER = "/".join(["/tmp", *["a" * 250] * 3])
GPUS = ["gpu", "g" * 63, *(f"{'d' * 61}{number:02}" for number in range(98))]
DEVICES = {
    name: {
        "path": f"{number:04x}:{number:02x}:00",
        "id": "10de:1f15",
        "subsystem_id": "17aa:3a47",
        "iommu_group": 65_535,
    }
    for number, name in enumerate(GPUS)
}
# Room for every limit of one container or machine.
ROOMY: Mapping[str, dict[str, Any]] = {
    "dev": {
        "common.target.memory_mib": MOST_MIB,
        "common.target.cores": 512,
        "platform.gitlab.enabled": True,
    },
    "lab": {
        "common.target.memory_mib": MOST_MIB,
        "common.target.cores": 8192,
        "common.target.storages.local-lvm.capacity_gib": MOST_GIB,
        "common.target.pci": DEVICES,
        "common.target.machine_ids": {"first": 100, "last": 999_999_999},
        "platform.docker.machine.memory_mib": MOST_MIB // 2,
        "platform.docker.machine.cores": 512,
    },
}
COMMON = {"common.unpinned_downloads": "allow", "foundation.cache.clients": ["0.0.0.0/0"]}
# The longest of each free text, by the end of its key.
TEXTS: Mapping[str, str] = {
    "common.domain": LONGEST_DOMAIN,
    "common.timezone": "America/Argentina/ComodRivadavia"[:17] + "/Buenos_Aires",
    "common.region": LABEL,
    "common.trust_path": FOLDER,
    "common.rescue.path": FOLDER,
    "common.target.node": LABEL,
    "common.target.endpoint": f"https://{HOST}:65535",
    "common.target.bridge": "b" * 15,
    "common.target.image_storage": "a" * 128,
    "common.target.disk_storage": "a" * 128,
    "docker.machine.gpu": GPUS[1],
    "gitlab.machine.gpu": GPUS[2],
    "machine.storage": "a" * 128,
    "network.name": LABEL,
    "open_webui.admin_email": f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 61}",
    "gitlab_project.group": LABEL,
    "gitlab_project.project": LABEL,
    "results_topic": f"{0:04}{TOPIC}",
    "feedback_topic": f"{1:04}{TOPIC}",
    "lake_writer.catalog": f"{'c' * 39}00",
}


def address(number: int) -> str:
    """The longest address of a host that a setting takes, each another."""
    return f"https://{number:02}{HOST[2:]}:65535"


def upstreams(kind: str, environment: str = "dev") -> dict[str, Any]:
    """As many upstreams of a kind as there may be, with the longest names and addresses."""
    found: dict[str, Any] = {}
    oci = kind == "oci"
    for number in range(MOST_UPSTREAMS):
        url = address(number)
        path = "" if oci else "/p" * ((MOST_URL - len(url)) // 2)
        upstream: dict[str, Any] = {"kind": kind, "url": url + path, "user": "u" * 255}
        if oci:
            upstream["registry"] = f"{number:02}{HOST[2:]}"
            if environment == "dev":
                upstream["container"] = {"memory_mib": 32}
        elif number == 0:
            more = [address(50 + n) for n in range(MOST_ADDRESSES - MOST_UPSTREAMS)]
            upstream["redirects"] = more[: 8 if kind in LINKING else None]
            upstream["files"] = more[8:] if kind in LINKING else []
        # In `dev` a registry's container is called cache-NAME, in DNS too.
        found[f"{'a' * (55 if oci else 61)}{number:02}"] = upstream
    return found


def topics() -> dict[str, Any]:
    """As many topics as there may be, with as many partitions."""
    share = MOST_PARTITIONS // MOST_TOPICS
    names = [f"{number:04}{TOPIC}" for number in range(MOST_TOPICS - 2)]
    return {
        name: {"group": f"{number:04}{'g' * 245}", "partitions": share, "retention_hours": -1}
        for number, name in enumerate([*names, "ml_inference_results", "ml_inference_feedback"])
    }


SCHEDULES = {
    f"{'s' * 61}{number:02}": {"cron": "*/59 22-2 1-31 jan-dec sun-sat", "workflow": "plan"}
    for number in range(MOST_SCHEDULES)
}
# Every list or map at its most, by the end of its key.
COLLECTIONS: Mapping[str, Any] = {
    "services.kafka.topics": topics(),
    "services.lakehouse.catalogs": {
        **{
            f"{'c' * 39}{number:02}": {"encrypted": True}
            for number in range(MOST_CATALOGS - len(CATALOGS))
        },
        **{name: dict(catalog) for name, catalog in CATALOGS.items()},
    },
    "services.postgresql.databases": {
        "d" * 63: {"owner": "o" * 63, "extensions": sorted(EXTENSIONS)},
        **{f"{'d' * 60}{n:03}": {"owner": "o" * 63} for n in range(MOST_DATABASES - 1)},
    },
    "foundation.object_store.buckets": {
        f"{'b' * 60}{n:03}": {"versioning": True, "retention_days": 3650}
        for n in range(MOST_BUCKETS)
    },
    "services.ollama.models": [f"{MODEL}{number:02}:{'t' * 80}" for number in range(100)],
    "apps.model_server.models": [f"{'m' * 247}{number:03}@{'a' * 250}" for number in range(64)],
    "apps.model_server.aliases": [f"{'a' * 247}{number:03}" for number in range(64)],
    "services.gitlab_project.schedules": SCHEDULES,
    "services.gitlab_project.pulling_groups": [2**63 - 1 - n for n in range(MOST_PULLING_GROUPS)],
    "foundation.cache.clients": [*(f"10.{number}.0.0/16" for number in range(255)), "0.0.0.0/0"],
    "common.generations": dict.fromkeys(RENEWABLE, 10_000),
    "common.target.nameservers": [f"{'fd00:' * 7}{number}" for number in range(1, 4)],
    "common.target.storages": {
        "local": {"capacity_gib": MOST_GIB, "content": ["import", "vztmpl", "iso"]},
        "local-lvm": {"capacity_gib": MOST_GIB, "content": ["images", "rootdir"]},
        **{f"{'s' * 126}{n:02}": {"capacity_gib": 1, "content": ["iso"]} for n in range(97)},
        "a" * 128: {
            "capacity_gib": MOST_GIB,
            "content": ["iso", "vztmpl", "import", "backup", "images", "rootdir", "snippets"],
        },
    },
    "machine.interfaces": [
        {"bridge": "b" * 15, "address": f"10.9{n}.255.254/32", "vlan": 4094, "mtu": 65520}
        for n in range(7)
    ],
    "docker.machine.gpus": GPUS[:4],
    "gitlab.machine.gpus": GPUS[4:8],
}
KINDS = ("apt", "pypi", "oci", "pulumi")
# Texts and numbers of one form, and what decides where the lab is and what is in it.
FIXED = (
    ".enabled",
    "common.target.kind",
    "common.target.pci",
    "machine.id",
    "machine.address",
    "common.unpinned_downloads",
)


# What an end needs next to it.
ALSO: Mapping[str, dict[str, Any]] = {
    "platform.docker.machine.gpus": {"platform.docker.machine.gpu": None},
}
MOST_PORT = 65_535


@dataclass
class Extremes:
    """Every end of every setting in one of the configurations, but those that a rule forbids.

    missing are settings whose ends nobody knows: a new one needs a row in TEXTS or COLLECTIONS.
    """

    environment: str
    configurations: list[dict[str, Any]]
    tried: list[set[str]]
    ends: dict[str, list[Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any) -> bool:
        """Into the first configuration that takes it; whether it was taken at all."""
        for number, config in enumerate(self.configurations):
            if key not in self.tried[number] and (made := self.changed(config, key, value)):
                self.configurations[number] = made
                self.tried[number].add(key)
                return True
        if not (made := self.changed(self.base, key, value)):
            return False
        self.configurations.append(made)
        self.tried.append({key})
        return True

    @cached_property
    def base(self) -> dict[str, Any]:
        """The settings before anything was put to its end."""
        return patched(self.environment, {**ROOMY[self.environment], **COMMON})

    def changed(self, config: dict[str, Any], key: str, value: Any) -> dict[str, Any] | None:
        """The configuration with another value; None where that has a fault."""
        made = copy.deepcopy(config)
        patch(made, {**ALSO.get(key, {}), key: value})
        try:
            load(made, self.environment)
        except SettingsError as error:
            self.refused[key] = str(error)
            return None
        return made

    def nearest(self, key: str, end: int, sound: int) -> int:
        """A number near to the nearest that the rules between settings allow."""
        while abs(end - sound) > max(1, sound // 64):
            middle = (end + sound) // 2
            if self.changed(self.base, key, middle):
                sound = middle
            else:
                end = middle
        return sound


def extremes(environment: str) -> Extremes:
    """Every free setting of an environment at its ends."""
    found = Extremes(environment, [], [])
    found.configurations, found.tried = [copy.deepcopy(found.base)], [set()]
    wanted = list(_ends(found))
    # Long collections late, as every rule walks through them; last what names entries of theirs.
    for key, value, sound in sorted(
        wanted, key=lambda end: 2 * isinstance(end[1], str) + isinstance(end[1], dict | list)
    ):
        found.refused.pop(key, None)
        end = value
        if not (taken := found.put(key, end)) and isinstance(end, int) and isinstance(sound, int):
            end = found.nearest(key, end, sound)
            taken = found.put(key, end)
        if taken:
            found.refused.pop(key, None)
            found.ends.setdefault(key, []).append(end)
    return found


def _ends(found: Extremes) -> Iterator[tuple[str, Any, Any]]:
    """Key, value at an end, and a value that is sound."""
    for kind in KINDS:
        yield "foundation.cache.upstreams", upstreams(kind, found.environment), None
    longest = {**TEXTS, **COLLECTIONS}
    for number, (place, part, sound) in enumerate(_leaves(load(found.base, found.environment))):
        key = dotted(place)
        if key.endswith(FIXED) or key == "foundation.cache.upstreams":
            continue
        given = next(([value] for end, value in longest.items() if key.endswith(end)), None)
        given = _own_ends(part, number) if given is None else given
        if given is None:
            found.missing.append(key)
        for value in given or ():
            yield key, value, part.get("minimum") if sound is None else sound


def _own_ends(part: Mapping[str, Any], number: int) -> list[Any] | None:
    """The ends that a setting's own schema has; None where it has none."""
    if part.get("maximum") == MOST_PORT:  # no two services have one port
        return [part["minimum"] + number, MOST_PORT - number]
    if part.get("type") in ("integer", "number"):
        return [part["minimum"], part["maximum"]]
    if part.get("type") == "boolean":
        return [False, True]
    if "enum" in part:
        return list(part["enum"])
    if part.get("format") in ("ipv4", "ipv4network", "ipvanyaddress"):
        return []
    return None


OPTIONAL = ("cpus", "vlan", "mtu", "storage", "floor_mib", "gpu")


def _leaves(model: BaseModel, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any], Any]]:
    """Every setting that is no section, with its schema and value; a map or list is one."""
    described = type(model).model_json_schema()
    for name, value in model.__dict__.items():
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*place, name))
        elif value is not None or name in OPTIONAL:
            yield (*place, name), resolve(described["properties"][name], described), value
