"""What would be sent to a node, held against the schema of its API (PVE 9, in fakepve)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from fakepve import schema  # type: ignore[import-untyped]

from settings import SettingsError
from tests.harness.deploy import settings_of, shared

TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("proxmox_api.yaml").read_text())
GPU_LESS = {
    "platform.docker.machine.gpu": None,
    "platform.docker.machine.floor_mib": 8192,
    "services.ollama.gpu": False,
}

VLAN = {"common.target.vlan": 4094, "common.target.mtu": 1500}


@pytest.fixture(scope="module")
def registered() -> dict[str, list[dict[str, Any]]]:
    """Type -> inputs of every resource of it, with a GPU, with ballooning, and on a VLAN."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLE["resources"]}
    for change in ({}, GPU_LESS, VLAN):
        allow = {"common.unpinned_downloads": "allow", **change}
        for layer in shared("lab", allow, layers=("foundation", "platform")).values():
            for resource in layer.resources:
                if resource.type.startswith("proxmoxve:"):
                    found[resource.type.rpartition(":")[2]].append(resource.inputs)
    found["File"].append({**found["File"][0], "checksum": "0" * 64, "checksumAlgorithm": "sha256"})
    return found


def leaves(value: Any, path: str = "", number: int = 0) -> Iterator[tuple[str, int, Any]]:
    """(Dotted path, number of its list's element, value) of everything; a list of texts is one."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key, number)
    elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, path, index)
    else:
        yield path, number, value


def calls(kind: str, inputs: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Call -> its parameters. ValueError for a property that the table lacks."""
    table = TABLE["resources"][kind]
    rows, given = table["properties"], list(leaves(inputs))
    made: dict[str, dict[str, str]] = {table["call"]: {}}
    # In the table's order: parts of one parameter come from several properties.
    for path, number, value in sorted(given, key=lambda leaf: list(rows).index(leaf[0])):
        row = {"parameter": rows[path]} if isinstance(rows[path], str) else rows[path]
        if "provider" in row:
            continue
        texts = [wire(item) for item in (value if isinstance(value, list) else [value])]
        text = row.get("join", ",").join(texts)
        shape = row.get("as", "{}")
        text = quote(text, safe="") if shape == "urlencoded" else shape.format(text)
        parameters = made.setdefault(row.get("call", table["call"]), {})
        name = re.sub("0$", str(number), row["parameter"])
        before = parameters.get(name)
        parameters[name] = text if before is None else before + row.get("glue", ",") + text
    return made


def wire(value: Any) -> str:
    """A value as it is in a form."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def refusals(kind: str, inputs: dict[str, Any]) -> dict[str, str]:
    """Parameter -> what the API says against it."""
    found: dict[str, str] = {}
    api = schema.load()
    for call, parameters in calls(kind, inputs).items():
        method, _, path = call.partition(" ")
        match = api.match(path)
        values = {**match.params, **parameters}
        if call.endswith("resize"):
            values["disk"] = "scsi0"
        _, errors = schema.validate(match.methods[method]["parameters"], values)
        found |= errors
    return found


@pytest.mark.parametrize("kind", sorted(TABLE["resources"]))
def test_the_api_takes_what_we_send(kind: str, registered: dict[str, list[dict[str, Any]]]) -> None:
    assert registered[kind]
    for inputs in registered[kind]:
        assert refusals(kind, inputs) == {}


def test_the_table_has_nothing_that_we_do_not_send(
    registered: dict[str, list[dict[str, Any]]],
) -> None:
    for kind, table in TABLE["resources"].items():
        sent = {path for inputs in registered[kind] for path, _, _ in leaves(inputs)}
        assert set(table["properties"]) == sent, kind


def changed(value: Any, path: list[str], new: Any) -> Any:
    """`value` with `new` at `path`, in the first element of each list on the way."""
    if not path:
        return new
    if isinstance(value, list):
        return [changed(value[0], path, new), *value[1:]]
    return {**value, path[0]: changed(value.get(path[0], {}), path[1:], new)}


@pytest.mark.parametrize("row", TABLE["spoilt"], ids=lambda row: f"{row['setting']}={row['value']}")
def test_a_wrong_value_is_refused_by_us_and_by_the_api(
    row: dict[str, Any], registered: dict[str, list[dict[str, Any]]]
) -> None:
    with pytest.raises(SettingsError, match=row["setting"].replace(".", r"\.")):
        settings_of("lab", {row["setting"]: row["value"]})
    path = row["property"].split(".")
    inputs = changed(registered[row["type"]][0], path, row.get("wire", row["value"]))
    assert refusals(row["type"], inputs)
