"""`./lab doctor lab` against the answers of a node, well and unwell, over HTTPS."""

import copy
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from fakepve import schema  # type: ignore[import-untyped]

from cli.commands.doctor.finding import Finding
from cli.commands.doctor.node import findings
from cli.commands.doctor.privileges import AGENT, IMAGES, VMS, grant
from tests.harness.certificates import Authority
from tests.harness.deploy import settings_of
from tests.harness.process import free_port

TOKEN = "root@pam!datalab=00000000-0000-0000-0000-000000000000"
GIB = 1024**3
GPU = {
    "id": "0000:01:00.0",
    "class": "0x030000",
    "vendor": "0x10de",
    "device": "0x1f15",
    "subsystem_vendor": "0x17aa",
    "subsystem_device": "0x3a47",
    "iommugroup": 10,
}
# Path -> data, of a node that is as Pulumi.lab.yaml says.
WELL: dict[str, Any] = {
    "version": {"version": "9.0.3", "release": "9.0", "repoid": "0123456789abcdef"},
    "access/permissions": {
        "/": {"Sys.Audit": 0},
        "/vms": dict.fromkeys([*VMS.split(), AGENT[True]], 1),
        "/nodes": {"Sys.AccessNetwork": 1, "Sys.Audit": 1},
        "/sdn/zones/localnetwork": {"SDN.Use": 1},
        "/storage": dict.fromkeys(IMAGES.split(), 1),
        "/mapping/pci": {"Mapping.Audit": 1, "Mapping.Modify": 1, "Mapping.Use": 1},
    },
    "cluster/resources": [],
    "nodes/pve/storage": [
        {
            "storage": "local",
            "type": "dir",
            "content": "iso,vztmpl,import,backup",
            "active": 1,
            "avail": 90 * GIB,
        },
        {
            "storage": "local-lvm",
            "type": "lvmthin",
            "content": "images,rootdir",
            "active": 1,
            "avail": 880 * GIB,
        },
    ],
    "nodes/pve/network": [{"iface": "vmbr0", "type": "bridge"}, {"iface": "eno1", "type": "eth"}],
    "nodes/pve/status": {"memory": {"total": 32 * GIB - 300 * 1024**2, "used": GIB}},
    "nodes/pve/hardware/pci": [
        GPU,
        {**GPU, "id": "0000:01:00.1", "class": "0x040300", "device": "0x10f9"},
        {**GPU, "id": "0000:00:01.0", "class": "0x060400", "vendor": "0x8086"},
    ],
}


@dataclass
class Node:
    """A node; `answers` may be changed, `asked` says what was asked for."""

    endpoint: str
    answers: dict[str, Any]
    asked: list[str]

    def look(
        self,
        *,
        taken: Mapping[str, bool] | None = None,
        token: str = TOKEN,
        gitlab: bool = True,
        **change: Any,
    ) -> list[Finding]:
        """What the preflight finds; every address is free but those in `taken`."""
        values = {
            "platform.gitlab.enabled": gitlab,
            "common.target.endpoint": self.endpoint,
            "common.target.verify_tls": False,
            **{f"common.target.{key}": value for key, value in change.items()},
        }
        busy = taken or {}

        def answers(address: IPv4Address) -> bool:
            return busy.get(str(address), False)

        return list(findings(settings_of("lab", values), token, taken=answers))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that is well."""
    pair = Authority().server()
    for name, text in (("crt", pair.certificate), ("key", pair.key)):
        (tmp_path / name).write_text(text)
    answers, asked = copy.deepcopy(WELL), list[str]()

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix("/api2/json/").partition("?")[0]
            asked.append(path)
            right = self.headers["Authorization"] == f"PVEAPIToken={TOKEN}"
            code = 401 if not right else 200 if path in answers else 403
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps({"data": answers.get(path)}).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield Node(f"https://127.0.0.1:{server.server_port}", answers, asked)
    server.shutdown()


def only(found: list[Finding]) -> Finding:
    """The one finding that is unwell."""
    unwell = [finding for finding in found if finding.remedy]
    assert len(unwell) == 1, "\n".join(map(str, found))
    return unwell[0]


def test_a_node_that_is_as_the_settings_say(node: Node) -> None:
    found = node.look()
    assert not [finding for finding in found if finding.remedy], "\n".join(map(str, found))
    assert {"machine store", "machine docker", "PCI device gpu", "memory"} <= {
        finding.what for finding in found
    }


def test_the_answers_have_the_shape_that_the_api_gives(node: Node) -> None:
    api = schema.load()
    for path, data in WELL.items():
        shape = api.match(f"/{path}").methods["GET"]["returns"]
        rows, known = (data, shape["items"]) if isinstance(data, list) else ([data], shape)
        for row in rows:
            assert set(row) <= set(known.get("properties", row)), path


def test_only_what_reads_is_asked(node: Node) -> None:
    node.look()
    assert set(node.asked) == set(WELL)


def test_missing_privileges_come_with_the_lines_that_grant_them(node: Node) -> None:
    del node.answers["access/permissions"]["/storage"]["Datastore.AllocateTemplate"]
    finding = only(node.look())
    assert finding.found == "missing /storage/local: Datastore.AllocateTemplate"
    role = "datalab-storage-images"
    wanted = f"'{IMAGES}'"
    assert [line.strip() for line in finding.remedy.splitlines()[1:]] == [
        f"pveum role add {role} --privs {wanted} || pveum role modify {role} --privs {wanted}",
        f"pveum acl modify /storage/local --tokens 'root@pam!datalab' --roles {role}",
    ]


def test_a_token_needs_its_user_to_have_the_privileges_too() -> None:
    node = settings_of("lab").common.target
    assert node.kind == "proxmox"
    lines = grant(node, "/", "Sys.Audit", "lab@pve!token")
    assert [line.partition("/ ")[2] for line in lines[1:]] == [
        "--users lab@pve --roles datalab-root --propagate 0",
        "--tokens 'lab@pve!token' --roles datalab-root --propagate 0",
    ]


def test_an_older_node_calls_it_otherwise(node: Node) -> None:
    node.answers["version"]["version"] = "8.4.1"
    assert "VM.Monitor" in only(node.look()).found
    node.answers["access/permissions"]["/vms"]["VM.Monitor"] = 1
    assert not [finding for finding in node.look() if finding.remedy]


def test_a_privilege_that_is_not_handed_down_does_not_count_below(node: Node) -> None:
    node.answers["access/permissions"]["/nodes"] = {"Sys.AccessNetwork": 0, "Sys.Audit": 0}
    assert "/nodes/pve: Sys.AccessNetwork Sys.Audit" in only(node.look()).found


@pytest.mark.parametrize(
    ("content", "lacking", "remedy"),
    [
        ("iso,backup", "import, vztmpl", "pvesm set local --content backup,import,iso,vztmpl"),
        ("vztmpl", "import", "pvesm set local --content import,vztmpl"),
    ],
)
def test_a_storage_without_the_content_types(
    node: Node, content: str, lacking: str, remedy: str
) -> None:
    node.answers["nodes/pve/storage"][0]["content"] = content
    finding = only(node.look())
    assert (finding.found, finding.remedy) == (f"does not take {lacking}", remedy)


def test_a_storage_that_is_missing_or_full(node: Node) -> None:
    node.answers["nodes/pve/storage"][1]["avail"] = 700 * GIB
    assert only(node.look()).found == "700 GiB free, 720 GiB wanted"
    # Machines that are there have their disks already.
    store = {"vmid": 101, "name": "store", "tags": "datalab", "node": "pve", "status": "running"}
    node.answers["cluster/resources"] = [store]
    assert not [finding for finding in node.look() if finding.remedy]
    del node.answers["nodes/pve/storage"][1]
    assert only(node.look()).what == "storage local-lvm"


def test_an_id_or_an_address_of_somebody_else(node: Node) -> None:
    node.answers["cluster/resources"] = [{"vmid": 201, "name": "windows", "status": "stopped"}]
    finding = only(node.look(taken={"192.168.1.201": True}))
    assert finding.found == "201 is windows"
    assert finding.remedy == "choose another datalab:platform.gitlab.machine.id"
    node.answers["cluster/resources"] = []
    finding = only(node.look(taken={"192.168.1.102": True}))
    assert finding.found == "somebody answers at 192.168.1.102"
    assert finding.remedy == "choose another datalab:foundation.vault.machine.address"


def test_a_machine_of_what_is_switched_off_is_not_counted(node: Node) -> None:
    node.answers["cluster/resources"] = [{"vmid": 201, "name": "windows", "status": "stopped"}]
    found = {finding.what: finding for finding in node.look(gitlab=False)}
    assert not [finding for finding in found.values() if finding.remedy]
    assert "machine gitlab" not in found
    assert "620 GiB wanted" in found["storage local-lvm"].found
    assert "the lab needs 22528," in found["memory"].found


def test_memory_that_others_have(node: Node) -> None:
    other = {"vmid": 300, "name": "x", "node": "pve", "status": "running", "maxmem": 8 * GIB}
    node.answers["cluster/resources"] = [other]
    assert "MiB too few" in only(node.look()).remedy
    other["status"] = "stopped"
    assert not [finding for finding in node.look() if finding.remedy]
    node.answers["nodes/pve/status"]["memory"]["total"] = 16 * GIB
    assert "memory_mib to 16384" in only(node.look()).remedy


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"iommugroup": -1}, "the IOMMU is off"),
        ({"iommugroup": 12}, "iommu_group is 12"),
        ({"device": "0x1f16"}, "id is 10de:1f16"),
        ({"subsystem_device": "0x3a48"}, "subsystem_id is 17aa:3a48"),
        ({"id": "0000:02:00.0"}, "nothing is at 0000:01:00"),
    ],
)
def test_a_device_that_is_not_as_the_settings_say(
    node: Node, change: dict[str, Any], found: str
) -> None:
    node.answers["nodes/pve/hardware/pci"] = [{**GPU, **change}]
    assert only(node.look()).found == found


def test_a_device_that_shares_its_group(node: Node) -> None:
    node.answers["nodes/pve/hardware/pci"].append({**GPU, "id": "0000:00:1f.3", "class": "0x0106"})
    assert only(node.look()).found.endswith("IOMMU group 10 with 0000:00:1f.3")


def test_a_bridge_and_a_version_that_are_not_there(node: Node) -> None:
    node.answers["nodes/pve/network"] = [{"iface": "vmbr1", "type": "OVSBridge"}]
    assert only(node.look()).found == "not among vmbr1"
    node.answers["nodes/pve/network"] = WELL["nodes/pve/network"]
    node.answers["version"]["version"] = "8.2.4"
    node.answers["access/permissions"]["/vms"]["VM.Monitor"] = 1
    assert only(node.look()).what == "Proxmox VE"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"verify_tls": True}, "its certificate is not trusted here"),
        (
            {"endpoint": f"https://127.0.0.1:{free_port()}"},
            "no answer ([Errno 111] Connection refused)",
        ),
        ({"node": "other"}, "was answered with 403"),
    ],
)
def test_a_node_that_does_not_answer(node: Node, change: dict[str, Any], found: str) -> None:
    last = node.look(**change)[-1]
    assert found in last.found
    assert last.remedy


def test_a_wrong_token(node: Node) -> None:
    (finding,) = node.look(token="root@pam!other=1")
    assert finding.found == "the token was refused (401)"
    assert "pveum user token add" in finding.remedy
