"""Layers 1 and 2 of `lab` by the real provider that pulumi-proxmoxve wraps, on a node that answers
by PVE's own schema and lets the token do what `./lab doctor` asks for, and nothing else.

What the simulator can only claim: that the provider accepts what the program gives it, reads back
what it was given, and changes in place what holds data. Nothing runs in the machines, so all other
providers are simulators.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cli.lib import lookup, repair
from rehearsal import reach, terraform
from rehearsal.rules import docker, local, stores
from rehearsal.scratch import SYNTHETIC
from rehearsal.terraform.provider import RealProvider, served
from settings.budget import machines
from tests.engine.lab import Lab, lab
from tests.engine.test_machines import CASES, GONE, LAYERS, SAMPLE, WAITED_FOR, removed, touched
from tests.harness import real_proxmox
from tests.harness.deploy import settings_of
from tests.harness.process import clean_environment

pytestmark = pytest.mark.service
MACHINES = {101, 102, 103, 201, 202}
# What leads to another node, or is a change of the node's own hardware first.
ELSEWHERE = {"node-endpoint", "node-node", "node-pci"}

MADE: dict[str, dict[str, Any]] = {
    **{case: CASES[case] for case in (*WAITED_FOR, "node-nameservers")},
    **{f"node-{field}": CASES[f"node-{field}"] for field in ("vlan", "mtu", "gateway_on_link")},
    # Not Vault's: its simulator would take what is at another address for another server.
    "lxc-address": {"foundation.cache.machine.address": "192.168.1.113"},
}


@dataclass(frozen=True)
class Real:
    """The environment, and the node that it is on."""

    lab: Lab
    node: real_proxmox.Node

    def guest(self, number: int) -> dict[str, Any]:
        """A machine's configuration in PVE."""
        config: dict[str, Any] = self.node.guest(number).config
        return config

    def up(self, layer: str) -> None:
        """Bring a layer up and prove it unchanged against what the node says of it."""
        answer = self.lab.up(layer)
        assert answer.code == 0, answer.said[-4000:]
        self.at_rest(layer)

    def at_rest(self, layer: str) -> None:
        answer = self.lab.preview(layer, "--refresh", "--expect-no-changes", "--diff")
        assert answer.code == 0, answer.said[-4000:]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Both layers, up."""
    folder = tmp_path_factory.mktemp("proxmox")
    settings = settings_of("lab").common.target
    assert settings.kind == "proxmox"
    guests = [machine for _, machine in machines(settings_of("lab"))]
    node = real_proxmox.Node(settings, guests, SYNTHETIC["proxmoxApiToken"])
    with (
        pytest.MonkeyPatch.context() as patch,
        real_proxmox.served(node, folder) as certificate,
        lab("lab", folder / "lab", {"common.target.endpoint": node.url}) as made,
        terraform.running(
            real_proxmox.SOURCE, folder, clean_environment(SSL_CERT_FILE=str(certificate))
        ) as provider,
        served(
            made.scratch.executables,
            RealProvider("proxmoxve", made.world, provider, real_proxmox.TYPES.get),
        ),
    ):
        # The other providers' simulators look for machines in the simulated world.
        for module in (docker, local, reach, stores):
            patch.setattr(module, "listens", lambda *_: True)
        found = Real(made, node)
        for layer in LAYERS:
            found.up(layer)
            made.save(f"after {layer}")
        yield found


def test_machines_are_what_the_settings_say(real: Real) -> None:
    vault, gitlab, docker_vm = real.guest(102), real.guest(201), real.guest(202)
    assert {guest.vmid for guest in (*real.node.vms, *real.node.cts)} == MACHINES
    assert vault["unprivileged"] == 1
    assert vault["features"] == "nesting=1"
    # bpg takes its ACLs from a disk that grows, where nothing is said of them.
    assert "acl=1" in vault["rootfs"]
    assert "ip=192.168.1.102/24" in vault["net0"]
    assert (gitlab["cores"], gitlab["memory"], gitlab["balloon"]) == (4, "8192", 0)
    assert gitlab["ipconfig0"] == "gw=192.168.1.1,ip=192.168.1.201/24"
    assert ",size=100G" in gitlab["scsi0"]
    # bpg sends rombar=0 where it is not given, against its own documentation.
    assert docker_vm["hostpci0"] == "mapping=gpu,pcie=1,rombar=1,x-vga=0"


@pytest.fixture
def previewed(real: Real) -> Iterator[Lab]:
    """The environment, whose settings and state are as they were once the test has ended."""
    yield real.lab
    real.lab.restore("after platform")


@pytest.mark.parametrize("case", sorted({*SAMPLE, *WAITED_FOR} - ELSEWHERE))
def test_a_change_replaces_no_machine(previewed: Lab, case: str) -> None:
    assert not GONE & set(touched(previewed, case).values())


@pytest.mark.long
@pytest.mark.parametrize("case", sorted(set(CASES) - {*SAMPLE, *WAITED_FOR} - ELSEWHERE))
def test_no_other_change_replaces_a_machine_either(previewed: Lab, case: str) -> None:
    assert not GONE & set(touched(previewed, case).values())


@pytest.mark.parametrize("case", MADE)
def test_a_change_is_made_in_place(real: Real, case: str) -> None:
    """Cumulative: a disk that has grown stays so."""
    before = {number: identity(real, number) for number in MACHINES}
    change = MADE[case]
    real.lab.configure({k: v for k, v in change.items() if v is not None}, removed(change))
    for layer in LAYERS:
        real.up(layer)
    assert {number: identity(real, number) for number in MACHINES} == before


def identity(real: Real, number: int) -> tuple[str, str]:
    """What is another one in a machine that was made again: its own id, or that of its disk."""
    config = real.guest(number)
    disk = (config.get("scsi0") or config["rootfs"]).partition(",")[0].removeprefix("file=")
    return config.get("smbios1") or config["net0"].partition("hwaddr=")[2][:17], disk


def test_what_somebody_removed_is_seen(real: Real) -> None:
    """And said, not made again in silence: what it held is gone."""
    real.node.cts.remove(real.node.guest(103))
    assert real.lab.preview("foundation", "--refresh", "--expect-no-changes").code == 7
    answer = real.lab.run("up", "--refresh", "--yes", "--skip-preview", "-s", "lab-foundation")
    assert answer.code == 0, answer.said[-4000:]
    real.at_rest("foundation")


def test_a_kill_then_repair_and_up_converges(real: Real) -> None:
    """The engine dies when PVE has made the machine and the provider does not know yet."""
    for layer in reversed(LAYERS):
        destroy(real, layer)
    started: list[int] = []

    def kill(number: int) -> None:
        if not started:
            os.kill(real.lab.pid, signal.SIGKILL)
        started.append(number)
        for machine in real.node.vms:
            machine.agent = {}  # or the provider waits for it for 15 minutes

    for layer in LAYERS:
        started.clear()
        real.node.on_create = kill
        answer = real.lab.up(layer)
        assert answer.code == -signal.SIGKILL, answer.said[-4000:]
        real.node.on_create = None
        repair.fix(real.lab.scratch.engine, real.lab.scratch.stack(layer), lookup.find)
        real.up(layer)
    assert {guest.vmid for guest in (*real.node.vms, *real.node.cts)} == MACHINES


def destroy(real: Real, layer: str) -> None:
    options = ("--yes", "--skip-preview", "--ignore-protect")
    answer = real.lab.run("destroy", *options, "-s", real.lab.scratch.stack(layer))
    assert answer.code == 0, answer.said[-4000:]


def test_destroy_leaves_nothing(real: Real) -> None:
    for layer in reversed(LAYERS):
        destroy(real, layer)
    assert [*real.node.vms, *real.node.cts] == []
    assert real.node.mappings == {}
    assert [name for one in real.node.storages.values() for name in one.get("volumes", {})] == []
