"""Machines and their roles, as the layers of `lab` register them."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from ansible.module_utils.common.arg_spec import (  # type: ignore[import-untyped]
    ArgumentSpecValidator,
)

from settings.images import File
from targets.ansible import ANSIBLE, HOST_KEY, PLAYBOOK, SHARED, files_hash
from targets.proxmox import ImageArgs, image_file
from tests.harness.deploy import Deployed, Registered, deploy, shared
from tests.layers.containers import ALLOW

MACHINES = {"ContainerLegacy", "VmLegacy"}
# Everything that an API token of the node may not set (reference proxmox.md, section 8), and what
# would replace a machine that holds data (section 9).
FORBIDDEN = {
    "mountPoints",
    "idmaps",
    "poolId",
    "clone",
    "template",
    "rngs",
    "hookScriptFileId",
    "devicePassthroughs",
    "kvmArguments",
    "efiDisk",
    "tpmState",
}


@pytest.fixture(scope="module")
def lab() -> dict[str, Deployed]:
    """Layers 1 and 2 of `lab`, with a GPU and GitLab."""
    return shared("lab", ALLOW, layers=("foundation", "platform"))


def machines(lab: dict[str, Deployed]) -> list[Registered]:
    """Every LXC and VM."""
    return [r for layer in lab.values() for r in layer.resources if _kind(r) in MACHINES]


def _kind(resource: Registered) -> str:
    return resource.type.rpartition(":")[2]


def runs(lab: dict[str, Deployed]) -> dict[str, Registered]:
    """Every run of Ansible, by resource name."""
    return {
        r.name: r
        for layer in lab.values()
        for r in layer.all("command:local:Command")
        if r.inputs["create"] == PLAYBOOK
    }


def test_every_machine_of_the_settings_is_made(lab: dict[str, Deployed]) -> None:
    assert {(r.name, r.inputs["vmId"]) for r in machines(lab)} == {
        ("store-lxc", 101),
        ("vault-lxc", 102),
        ("cache-lxc", 103),
        ("gitlab-vm", 201),
        ("docker-vm", 202),
    }


def test_nothing_replaces_a_machine_unasked(lab: dict[str, Deployed]) -> None:
    for machine in machines(lab):
        assert machine.protect, machine.name
        assert machine.delete_before_replace, machine.name
        assert not FORBIDDEN & set(machine.inputs), machine.name
        images = {"operatingSystem.templateFileId", "disks[0].importFrom"}
        assert images & set(machine.ignore_changes), machine.name
        initialization = machine.inputs["initialization"]
        assert not [key for key in initialization if key.endswith("DataFileId")]


def test_containers_are_unprivileged_and_keep_their_data_on_the_root_disk(
    lab: dict[str, Deployed],
) -> None:
    for machine in lab["foundation"].all("ContainerLegacy"):
        assert machine.inputs["unprivileged"] is True
        assert machine.inputs["features"] == {"nesting": True}  # all that an API token may set
        assert machine.inputs["disk"]["size"] > 0
        assert machine.inputs["memory"]["swap"] == 0
        assert "initialization.userAccount" in machine.ignore_changes


def test_vms_import_their_disk_and_wait_for_no_agent(lab: dict[str, Deployed]) -> None:
    for machine in lab["platform"].all("VmLegacy"):
        disk = machine.inputs["disks"][0]
        assert disk["importFrom"].startswith("local:import/")
        assert disk["importFrom"].endswith(".qcow2")
        assert "fileId" not in disk
        assert machine.inputs["agent"]["waitForIp"] == {"disabled": True}
        assert machine.inputs["stopOnDestroy"] is True
        assert machine.inputs["machine"] == "q35"


def test_a_passed_through_device_pins_all_memory(lab: dict[str, Deployed]) -> None:
    docker = lab["platform"].one("VmLegacy", "docker-vm")
    wanted = {"device": "hostpci0", "mapping": "gpu", "pcie": True, "rombar": True}
    assert docker.inputs["hostpcis"] == [wanted]
    assert "floating" not in docker.inputs["memory"]
    floor = {**ALLOW, "platform.docker.machine.floor_mib": 8192}
    without = {"platform.docker.machine.gpu": None, "services.ollama.gpu": False, **floor}
    free = deploy("lab", without, layers=("foundation", "platform"))
    memory = free["platform"].one("VmLegacy", "docker-vm").inputs["memory"]
    assert memory == {"dedicated": 16384, "floating": 8192}


AMD = {
    "common.target.pci.gpu.id": "1002:744c",
    "common.target.pci.second": {
        "path": "0000:02:00",
        "id": "8086:56a0",
        "subsystem_id": "8086:1020",
        "iommu_group": 11,
    },
    "platform.docker.machine.gpu": None,
    "platform.docker.machine.gpus": ["gpu", "second"],
    "services.ollama.gpu_type": "render",
}


@pytest.fixture(scope="module")
def amd() -> dict[str, Deployed]:
    """A lab whose Docker VM has an AMD and an Intel GPU."""
    return shared("lab", {**ALLOW, **AMD})


def test_two_gpus_of_amd_and_intel(amd: dict[str, Deployed]) -> None:
    vm = amd["platform"].one("VmLegacy", "docker-vm").inputs
    assert [(row["device"], row["mapping"]) for row in vm["hostpcis"]] == [
        ("hostpci0", "gpu"),
        ("hostpci1", "second"),
    ]
    assert "floating" not in vm["memory"]
    mappings = amd["platform"].all("proxmoxve:hardware/mapping/pci:Pci")
    assert {mapping.inputs["name"] for mapping in mappings} == {"gpu", "second"}
    roles = json.loads(runs(amd)["docker-roles"].inputs["stdin"])["roles"]
    assert "render" in roles
    assert "nvidia" not in roles
    ollama = amd["services"].one("docker:index/container:Container", "ollama-container").inputs
    assert "gpus" not in ollama
    assert [row["hostPath"] for row in ollama["devices"]] == ["/dev/dri"]
    assert "OLLAMA_VULKAN=1" in ollama["envs"]


def test_networks_and_storages_of_a_machines_own() -> None:
    vault, docker = "foundation.vault.machine", "platform.docker.machine"
    change = {
        **ALLOW,
        "common.target.vlan": 20,
        "common.target.gateway": "192.168.9.1",
        "common.target.gateway_on_link": True,
        "common.target.storages.fast": {"capacity_gib": 500, "content": ["images", "rootdir"]},
        f"{vault}.address": "10.0.30.5",
        f"{vault}.network": {
            "bridge": "vmbr1",
            "vlan": 30,
            "mtu": 9000,
            "network": "10.0.30.0/24",
            "gateway": "10.0.30.1",
        },
        f"{docker}.storage": "fast",
        f"{docker}.interfaces": [{"bridge": "vmbr2", "address": "dhcp"}],
    }
    made = deploy("lab", change, layers=("foundation", "platform"))
    lxc = made["foundation"].one("ContainerLegacy", "vault-lxc").inputs
    own = {"name": "eth0", "bridge": "vmbr1", "vlanId": 30, "mtu": 9000}
    assert lxc["networkInterfaces"] == [own]
    ipv4 = {"address": "10.0.30.5/24", "gateway": "10.0.30.1"}
    assert lxc["initialization"]["ipConfigs"] == [{"ipv4": ipv4}]
    vm = made["platform"].one("VmLegacy", "docker-vm").inputs
    assert vm["networkDevices"] == [
        {"bridge": "vmbr0", "model": "virtio", "vlanId": 20},
        {"bridge": "vmbr2", "model": "virtio"},
    ]
    assert vm["initialization"]["ipConfigs"] == [
        {"ipv4": {"address": "192.168.1.202/24", "gateway": "192.168.9.1"}},
        {"ipv4": {"address": "dhcp"}},
    ]
    assert {vm["disks"][0]["datastoreId"], vm["initialization"]["datastoreId"]} == {"fast"}


def test_images_are_named_by_text_and_never_fetched_twice(lab: dict[str, Deployed]) -> None:
    for layer in lab.values():
        for image in layer.all("proxmoxve:download/file:File"):
            assert image.inputs["overwrite"] is False
            assert image.delete_before_replace
            volume = f"{image.inputs['datastoreId']}:{image.inputs['contentType']}"
            assert any(
                f"{volume}/{image.inputs['fileName']}" in json.dumps(machine.inputs)
                for machine in machines(lab)
            )


@pytest.mark.parametrize(
    ("kind", "url", "name"),
    [
        ("disk", "https://x.test/noble/server-amd64.img", "ubuntu-20251213.qcow2"),
        ("template", "https://x.test/ubuntu_24.04-2_amd64.tar.zst", "ubuntu-20251213.tar.zst"),
    ],
)
def test_an_image_has_an_ending_that_the_node_takes(kind: Any, url: str, name: str) -> None:
    node: Any = None
    download = File(url=url, version="20251213", sha256="")
    args = ImageArgs(node=node, kind=kind, download=download, unpinned="allow")
    assert image_file("ubuntu", args) == name


def test_a_download_without_a_checksum_is_refused() -> None:
    change = {"common.unpinned_downloads": "refuse"}
    with pytest.raises(pulumi.RunError, match=r"images\.sum has no sum of .*\./lab pin"):
        deploy("lab", change, layers=("foundation",))
    deploy("lab", change, layers=("foundation",), preview=True)


def test_a_role_gets_what_it_asks_for_and_nothing_else(lab: dict[str, Deployed]) -> None:
    for run in runs(lab).values():
        job = json.loads(run.inputs["stdin"])
        known: set[str] = set()
        for role in job["roles"]:
            spec = argument_spec(role)
            known |= set(spec)
            given = {name: value for name, value in job["variables"].items() if name in spec}
            checked = ArgumentSpecValidator(spec).validate(given)
            assert not checked.error_messages, (run.name, role, checked.error_messages)
        assert set(job["variables"]) <= known, run.name


def test_what_is_checked_comes_through_the_cache(lab: dict[str, Deployed]) -> None:
    """Every vendor's key and download, also those without a checksum once they have one."""
    mirrored = runpy.run_path(str(ANSIBLE / "plugins/filter/mirrored.py"))["mirrored"]
    base = "http://cache.lab.home.arpa:8480/"
    asked = set()
    for name, run in runs(lab).items():
        variables = json.loads(run.inputs["stdin"])["variables"]
        for value in variables.values():
            if isinstance(value, dict) and {"sha256", "key_url"} & set(value):
                url = value.get("key_url") or value["url"]
                asked.add(url)
                found = mirrored(url, variables["common_mirrors"])
                assert found.startswith(base), (name, url)
                assert found.rpartition("/")[2] == url.rpartition("/")[2]
    assert len(asked) == 6  # silo, Vault, NVIDIA's driver; Docker, GitLab and its runner, NVIDIA


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://a.test/x.zip", "http://cache/a/x.zip"),
        ("https://a.test/deep/x.zip", "http://cache/deep/x.zip"),
        ("https://a.test/deeper/x.zip", "http://cache/a/deeper/x.zip"),
        ("https://a.test.example/x.zip", "https://a.test.example/x.zip"),
    ],
)
def test_the_longest_address_counts(url: str, found: str) -> None:
    mirrored = runpy.run_path(str(ANSIBLE / "plugins/filter/mirrored.py"))["mirrored"]
    mirrors = {
        "ubuntu": "http://cache/ubuntu",
        "https://a.test": "http://cache/a",
        "https://a.test/deep": "http://cache/deep",
    }
    assert mirrored(url, mirrors) == found


def argument_spec(role: str) -> dict[str, Any]:
    """What a role says of its variables."""
    path = ANSIBLE / "roles" / role / "meta/argument_specs.yml"
    options: dict[str, Any] = yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    return options


def test_every_role_is_used(lab: dict[str, Deployed], amd: dict[str, Deployed]) -> None:
    used = {
        role
        for machines in (lab, amd)
        for run in runs(machines).values()
        for role in json.loads(run.inputs["stdin"])["roles"]
    }
    assert used | set(SHARED) == {path.name for path in (ANSIBLE / "roles").iterdir()}


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    """All tasks of a file, those in blocks included."""
    waiting = [path for path in (yaml.safe_load(path.read_text()),) if isinstance(path, list)]
    while waiting:
        for task in waiting.pop():
            waiting += [task[key] for key in ("tasks", "block", "rescue") if key in task]
            yield task


def test_whatever_runs_apt_waits_for_its_locks() -> None:
    """apt itself waits for dpkg's lock only (tests/ansible/test_apt.py on a real machine)."""
    runners = [f"ansible.builtin.{name}" for name in ("raw", "command", "shell")]
    found = [
        task
        for path in ANSIBLE.rglob("*.yml")
        for task in tasks(path)
        if "ansible.builtin.apt" in task
        or any(re.search("apt-get|dpkg ", str(task[key])) for key in runners if key in task)
        or "{{ apply_command }}" in str(task.get("ansible.builtin.command"))
    ]
    assert len(found) == 4  # twice the playbook, role apt, role apply
    assert all("machine_apt_busy" in task["until"] for task in found)


def test_everything_of_a_run_is_secret_and_on_standard_input(lab: dict[str, Deployed]) -> None:
    for run in runs(lab).values():
        assert "stdin" in run.secret, run.name
        assert run.inputs["create"] == PLAYBOOK
        job = json.loads(run.inputs["stdin"])
        plain = json.dumps({k: v for k, v in run.inputs.items() if k != "stdin"})
        assert job["private_key"] not in plain
        assert not [path for path in plain.split('"') if path.startswith("/")], run.name


def test_a_replaced_machine_is_met_and_configured_again(lab: dict[str, Deployed]) -> None:
    keys = [
        r
        for layer in lab.values()
        for r in layer.all("command:local:Command")
        if r.inputs["create"] == HOST_KEY
    ]
    assert len(keys) == 5
    for command in keys:  # one that is kept has met its machine before
        assert command.inputs["update"] == f"{HOST_KEY} known"
        assert command.inputs["addPreviousOutputInEnv"] is True
    for command in (*keys, *runs(lab).values()):
        assert command.replace_with, command.name


def test_the_hash_covers_what_a_run_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("machine.yml", "roles/a/tasks/main.yml", "roles/b/tasks/main.yml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
    monkeypatch.setattr("targets.ansible.ANSIBLE", tmp_path)
    before = files_hash(["a"])
    (tmp_path / "roles/b/tasks/main.yml").write_text("two")
    assert files_hash(["a"]) == before
    (tmp_path / "roles/a/tasks/main.yml").write_text("two")
    changed = files_hash(["a"])
    assert changed != before
    (tmp_path / "machine.yml").write_text("two")
    assert files_hash(["a"]) != changed
