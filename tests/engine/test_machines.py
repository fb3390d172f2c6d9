"""No settings change replaces a machine that holds data, unless somebody takes its protection off.

Every field of a machine and of the node, one after the other on the real engine; the simulator
knows what the provider cannot change in place (rehearsal/catalogue/types).
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cli.lib.ansible import runs
from settings.machines import Lxc, Vm
from settings.target import ProxmoxTarget
from tests.engine.lab import Lab, bring_up, lab
from tests.engine.scenarios import converges

pytestmark = pytest.mark.engine
MACHINES = ("containerLegacy:ContainerLegacy", "vmLegacy:VmLegacy")
GONE = {"replace", "create-replacement", "delete-replaced", "delete"}
LAYERS = ("foundation", "platform")
STORAGES = {
    "local": {"capacity_gib": 100, "content": ["iso", "vztmpl", "import", "backup"]},
    "local-lvm": {"capacity_gib": 900, "content": ["images", "rootdir"]},
    "other": {"capacity_gib": 900, "content": ["images", "rootdir", "vztmpl", "import"]},
}
VAULT, GITLAB = "foundation.vault.machine", "platform.gitlab.machine"
DOCKER, NODE = "platform.docker.machine", "common.target"
GPU = {"path": "0000:02:00", "id": "10de:1f15", "subsystem_id": "17aa:3a47", "iommu_group": 11}
LAN = {"vlan": 30, "network": "10.0.30.0/24", "gateway": "10.0.30.1"}
SECOND = {"bridge": "vmbr0", "address": "10.9.0.5/24", "vlan": 40, "mtu": 9000}
# Field -> a change of it, for every field of the models below.
LXC: dict[str, dict[str, Any]] = {
    "id": {f"{VAULT}.id": 112},
    "address": {f"{VAULT}.address": "192.168.1.112"},
    "cores": {f"{VAULT}.cores": 2},
    "memory_mib": {f"{VAULT}.memory_mib": 1280},
    "disk_gib": {f"{VAULT}.disk_gib": 30},
    "storage": {f"{NODE}.storages": STORAGES, f"{VAULT}.storage": "other"},
    "network": {f"{VAULT}.network": LAN, f"{VAULT}.address": "10.0.30.5"},
    "interfaces": {f"{VAULT}.interfaces": [SECOND]},
}
VM: dict[str, dict[str, Any]] = {
    "id": {f"{GITLAB}.id": 211},
    "address": {f"{GITLAB}.address": "192.168.1.211"},
    "cores": {f"{GITLAB}.cores": 5},
    "memory_mib": {f"{GITLAB}.memory_mib": 9216},
    "disk_gib": {f"{GITLAB}.disk_gib": 120},
    "storage": {f"{NODE}.storages": STORAGES, f"{GITLAB}.storage": "other"},
    "network": {f"{GITLAB}.network": LAN, f"{GITLAB}.address": "10.0.30.5"},
    "interfaces": {f"{GITLAB}.interfaces": [{**SECOND, "address": "10.9.0.6/24"}]},
    "floor_mib": {f"{DOCKER}.floor_mib": 8192, f"{DOCKER}.gpu": None, "services.ollama.gpu": False},
    "gpu": {f"{DOCKER}.gpu": None, "services.ollama.gpu": False},
    "gpus": {f"{NODE}.pci.gpu2": GPU, f"{DOCKER}.gpu": None, f"{DOCKER}.gpus": ["gpu", "gpu2"]},
}
THE_NODE: dict[str, dict[str, Any]] = {
    "node": {f"{NODE}.node": "pve2"},
    "endpoint": {f"{NODE}.endpoint": "https://192.168.1.11:8006"},
    "verify_tls": {f"{NODE}.verify_tls": False},
    "cores": {f"{NODE}.cores": 24},
    "memory_mib": {f"{NODE}.memory_mib": 65536},
    "reserved_mib": {f"{NODE}.reserved_mib": 3072},
    "storages": {f"{NODE}.storages": STORAGES},
    "image_storage": {f"{NODE}.storages": STORAGES, f"{NODE}.image_storage": "other"},
    "disk_storage": {f"{NODE}.storages": STORAGES, f"{NODE}.disk_storage": "other"},
    "bridge": {f"{NODE}.bridge": "vmbr1"},
    "vlan": {f"{NODE}.vlan": 20},
    "mtu": {f"{NODE}.mtu": 9000},
    "network": {f"{NODE}.network": "192.168.0.0/23"},
    "gateway": {f"{NODE}.gateway": "192.168.1.2"},
    "gateway_on_link": {f"{NODE}.gateway": "192.168.0.1", f"{NODE}.gateway_on_link": True},
    "nameservers": {f"{NODE}.nameservers": ["192.168.1.3"]},
    "machine_ids": {f"{NODE}.machine_ids": {"first": 100, "last": 300}},
    "pci": {f"{NODE}.pci.gpu": GPU},
}
# What the provider could only do by making the machine again: the engine must refuse it.
REFUSED = {"lxc-id", "lxc-storage", "vm-id", "node-node", "node-disk_storage"}
CASES = {
    **{f"lxc-{field}": change for field, change in LXC.items()},
    **{f"vm-{field}": change for field, change in VM.items()},
    **{f"node-{field}": change for field, change in THE_NODE.items()},
}
# In every run of CI; the rest in the long one, as a preview takes seconds.
SAMPLE = (*sorted(REFUSED), "lxc-address", "vm-memory_mib", "vm-storage", "node-image_storage")


def test_every_field_is_tried() -> None:
    for model, tried in ((Lxc, LXC), (Vm, VM), (ProxmoxTarget, THE_NODE)):
        assert set(tried) == set(model.model_fields) - {"kind"}


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Layers 1 and 2 of `lab`, up once for all tests."""
    with lab("lab", tmp_path_factory.mktemp("lab")) as made:
        bring_up(made, LAYERS)
        yield made


@pytest.fixture
def up(layers: Lab) -> Lab:
    """Them as they came up, whatever another test did."""
    layers.restore("after platform")
    return layers


def touched(up: Lab, case: str) -> dict[str, str]:
    """Machine -> what a preview would do to it; empty where the engine refused the whole."""
    change = CASES[case]
    up.configure({k: v for k, v in change.items() if v is not None}, removed(change))
    layers = ("platform",) if case.startswith("vm-") else LAYERS
    found: dict[str, str] = {}
    refused = False
    for layer in layers:
        answer = up.preview(layer, "--json")
        assert "Traceback" not in answer.said
        refused |= answer.code != 0
        if answer.code:
            assert "protect" in answer.said, answer.said[-2000:]
            continue
        for step in json.loads(answer.said[answer.said.index("{") :])["steps"]:
            if any(kind in step["urn"] for kind in MACHINES):
                found[step["urn"].rpartition("::")[2]] = step["op"]
    assert refused == (case in REFUSED)
    return found


def removed(change: dict[str, Any]) -> list[str]:
    """The keys that a change takes away."""
    return [key for key, value in change.items() if value is None]


@pytest.mark.parametrize("case", SAMPLE)
def test_a_change_replaces_no_machine(up: Lab, case: str) -> None:
    assert not GONE & set(touched(up, case).values())


@pytest.mark.long
@pytest.mark.parametrize("case", sorted(set(CASES) - set(SAMPLE)))
def test_no_other_change_replaces_a_machine_either(up: Lab, case: str) -> None:
    assert not GONE & set(touched(up, case).values())


def test_a_role_that_changed_runs_again_and_touches_no_machine(up: Lab) -> None:
    up.configure({"platform.gitlab.backup_days": 21})
    assert up.steps("platform") == {"gitlab-roles": "update"}


# A change -> what is updated with it. The provider returns from a reboot when the machine starts,
# so that what needs its services must wait for its roles.
WAITED_FOR = {
    "lxc-memory_mib": {"vault-lxc", "vault-host-key", "vault-roles"},
    "lxc-cores": {"vault-lxc"},
    "lxc-disk_gib": {"vault-lxc"},
    "vm-cores": {"gitlab-vm", "gitlab-host-key", "gitlab-roles", "runner-roles"},
    "vm-memory_mib": {"gitlab-vm", "gitlab-host-key", "gitlab-roles", "runner-roles"},
    "vm-disk_gib": {"gitlab-vm"},
    "lxc-interfaces": {"vault-lxc", "vault-host-key", "vault-roles"},
    "vm-interfaces": {"gitlab-vm", "gitlab-host-key", "gitlab-roles", "runner-roles"},
    "vm-gpu": {"docker-vm", "docker-host-key", "docker-roles"},
}


@pytest.mark.parametrize("case", WAITED_FOR)
def test_a_machine_that_reboots_is_waited_for(up: Lab, case: str) -> None:
    change = CASES[case]
    up.configure({k: v for k, v in change.items() if v is not None}, removed(change))
    steps = up.steps("platform" if case.startswith("vm-") else "foundation")
    assert {name for name, step in steps.items() if step == "update"} == WAITED_FOR[case]


def test_new_name_servers_reboot_every_machine(up: Lab) -> None:
    up.configure(THE_NODE["nameservers"])
    for layer, machines in (("foundation", 3), ("platform", 2)):
        steps = up.steps(layer)
        assert len([name for name in steps if name.endswith(("-lxc", "-vm"))]) == machines
        for name in steps:
            stem = name.removesuffix("-lxc").removesuffix("-vm")
            assert stem == name or {f"{stem}-host-key", f"{stem}-roles"} <= set(steps), steps


def test_the_state_has_what_looking_into_machines_takes(up: Lab) -> None:
    engine = up.scratch.engine
    found = [
        *runs(engine, up.scratch.stack("foundation")),
        *runs(engine, up.scratch.stack("platform")),
    ]
    hosts = {run.name: json.loads(run.job) for run in found}
    machines = {"store", "vault", "cache", "docker", "gitlab"}
    assert set(hosts) == {f"{name}-roles" for name in {*machines, "runner"}}
    assert {job["host"] for job in hosts.values()} == machines
    assert all(job["private_key"] for job in hosts.values())
    assert list(runs(engine, up.scratch.stack("services"))) == []  # made, and nothing in it yet


def test_without_protection_a_machine_is_made_and_configured_again(up: Lab) -> None:
    up.configure({"common.protect": False})
    assert up.up("foundation").code == 0
    up.configure({f"{VAULT}.id": 112})
    steps = up.steps("foundation")
    assert steps["vault-lxc"] in GONE
    assert steps["vault-host-key"] in GONE
    assert steps["vault-roles"] in GONE
    assert "store-lxc" not in steps


@pytest.mark.parametrize("storage", ["local", "local-lvm"])
def test_a_node_without_the_storage(up: Lab, monkeypatch: pytest.MonkeyPatch, storage: str) -> None:
    """`up` names the storage and has made no machine; once the node has it `up` ends the work."""
    up.restore("before foundation")
    there = up.world.facts.storages
    assert storage in there
    lacking = {name: kept for name, kept in there.items() if name != storage}
    with monkeypatch.context() as patch:
        patch.setattr(up.world, "facts", replace(up.world.facts, storages=lacking))
        answer = up.up("foundation")
    assert answer.code != 0
    assert f"storage '{storage}' does not exist" in answer.said, answer.said[-2000:]
    assert "Traceback" not in answer.said
    assert not any(type_.endswith(MACHINES) for type_, _ in up.contents())
    converges(up, "foundation")
