"""The node and its machines, in `./lab status`, by what the node's API and the machines say."""

import json
import subprocess
from typing import Any

import pytest
from fakepve import schema  # type: ignore[import-untyped]

from cli.commands.doctor.node import Unreachable
from cli.commands.status import hosts
from cli.commands.status.report import Report
from cli.lib import ssh
from cli.lib.fault import Fault
from cli.lib.remote import Remote
from settings.budget import machines as machines_of
from tests.harness.deploy import settings_of

GIB = 1 << 30
STATUS: dict[str, Any] = {
    "loadavg": ["0.52", "0.40", "0.31"],
    "cpuinfo": {"cpus": 16, "cores": 8, "sockets": 1, "model": "a CPU"},
    "memory": {"total": 32 * GIB, "used": 20 * GIB, "free": 12 * GIB, "available": 12 * GIB},
    "rootfs": {"total": 100 * GIB, "used": 90 * GIB, "free": 10 * GIB, "avail": 10 * GIB},
    "uptime": 86400,
}
STORE = {"id": "lxc/101", "vmid": 101, "type": "lxc", "status": "running", "mem": GIB}
VAULT = {"id": "lxc/102", "vmid": 102, "type": "lxc", "status": "stopped", "maxmem": GIB}
GUESTS: list[dict[str, Any]] = [{**STORE, "maxmem": 2 * GIB}, VAULT]
FACTS = {"load": 0.25, "up": 7200.5, "disk": [GIB, 20 * GIB], "memory": [1024, 256], "cores": 1}


def remote(*addresses: str) -> Remote:
    jobs = {address: {"address": address, "user": "root"} for address in addresses}
    return Remote(jobs=jobs, docker=None, token="a@pam!b=c", expiries={})


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the node's API answers, by path; None: it does not answer."""
    answers: dict[str, Any] = {"nodes/pve/status": STATUS, "cluster/resources?type=vm": GUESTS}

    def get(path: str) -> Any:
        if answers[path] is None:
            raise Unreachable("no answer: ConnectTimeout | is the node on?")
        return answers[path]

    monkeypatch.setattr(hosts, "api", lambda *_: get)
    return answers


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Address -> what the machine there answers over SSH; the others do not answer."""
    answers: dict[str, str] = {}

    def run(job: dict[str, Any], command: str, timeout_s: float) -> str:
        if job["address"] not in answers:
            raise Fault(f"ssh root@{job['address']}: timed out")
        return answers[job["address"]]

    monkeypatch.setattr(ssh, "run", run)
    return answers


def look(*addresses: str) -> Report:
    report = Report(env="lab", start_page="")
    hosts.add(report, settings_of("lab"), remote(*addresses))
    return report


def test_the_answers_are_such_as_the_nodes_api_gives() -> None:
    api = schema.load()
    for path, data in (("/nodes/{node}/status", STATUS), ("/cluster/resources", GUESTS)):
        assert schema.check_value(api.paths[path]["GET"]["returns"], data)[1] is None


def test_node_and_machines_with_load_memory_and_disk(
    node: dict[str, Any], machines: dict[str, str]
) -> None:
    settings = settings_of("lab")
    address = str(settings.foundation.vault.machine.address)
    unit = "Result=success\nExecMainExitTimestamp=@1000000000\nActiveEnterTimestamp=@1000000000\n"
    machines[address] = f"{json.dumps(FACTS)}\n{unit}"
    report = look(*(str(machine.address) for _, machine in machines_of(settings)))
    rows = {host.name: host for host in report.machines}
    assert list(rows) == ["pve", "object_store", "vault", "cache", "docker", "gitlab"]
    assert (rows["pve"].load, rows["pve"].memory, rows["pve"].cores) == (0.52, 20 * GIB, 16)
    assert rows["pve"].problem == "has a disk that is 90 % full"
    # By itself, though its node calls it stopped: what answers runs.
    assert (rows["vault"].load, rows["vault"].memory) == (0.25, 768 << 10)
    assert (rows["vault"].disk, rows["vault"].disk_size) == (GIB, 20 * GIB)
    # What does not answer is there by what the node says of it.
    assert (rows["object_store"].state, rows["object_store"].memory) == ("running", GIB)
    assert any(text.startswith("machine object_store: ssh") for text in report.unreached)
    assert [backup.of for backup in report.backups] == ["vault"]
    assert report.backups[0].problem.startswith("is older than 26 h")


def test_a_stopped_machine_is_a_problem_and_not_a_riddle(
    node: dict[str, Any], machines: dict[str, str]
) -> None:
    report = look(*(str(machine.address) for _, machine in machines_of(settings_of("lab"))))
    vault = next(host for host in report.machines if host.name == "vault")
    assert vault.problem == "is stopped: start it on the node"
    assert not any("vault" in text for text in report.unreached)


def test_a_node_that_does_not_answer_is_named(
    node: dict[str, Any], machines: dict[str, str]
) -> None:
    node["nodes/pve/status"] = None
    report = look()
    assert report.unreached[0] == "the node's API: no answer: ConnectTimeout"
    assert {host.state for host in report.machines} == {"not known"}


def test_what_a_machine_is_asked_is_json_on_any_linux() -> None:
    done = subprocess.run(["sh", "-c", hosts.ASK], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == set(FACTS)
