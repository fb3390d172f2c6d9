"""Locks and ids, without the engine; tests/cli/test_repair_engine.py has the engine."""

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

from cli.lib import repair
from cli.lib.fault import Fault
from cli.lib.pulumi import SECRET_MARK, Engine
from tests.harness.process import wait_for


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine whose `pulumi` writes down that it was called."""
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(
        f"#!/bin/sh\necho \"$@\" >> '{tmp_path}/calls'\n"
        "[ \"$1 $2\" = 'stack export' ] && echo '{\"deployment\": {}}'\nexit 0\n"
    )
    pulumi.chmod(0o755)
    path = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    url = f"{(tmp_path / 'the state').as_uri()}?metadata=skip"
    return Engine(folder=tmp_path, variables={"PATH": path, "PULUMI_BACKEND_URL": url})


def lock(engine: Engine, pid: int, host: str = platform.node()) -> None:
    """A lock as Pulumi writes it (pkg/backend/diy/lock.go)."""
    folder = engine.folder / "the state/.pulumi/locks/organization/datalab/dev-apps"
    folder.mkdir(parents=True)
    held = {"pid": pid, "username": "me", "hostname": host, "timestamp": "2026-01-01T00:00:00Z"}
    (folder / "0.json").write_text(json.dumps(held))


def ended() -> int:
    """The id of a process that has just ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def calls(engine: Engine) -> str:
    """What `pulumi` was asked to do."""
    file = engine.folder / "calls"
    return file.read_text() if file.exists() else ""


def left(engine: Engine) -> list[str]:
    return repair.leftovers(engine, "dev-apps", repair.locks(engine, "dev-apps"))


def test_a_dead_processes_lock_goes(engine: Engine) -> None:
    lock(engine, ended())
    assert "me@" in left(engine)[0]
    repair.fix(engine, "dev-apps")
    assert "cancel --yes -s dev-apps" in calls(engine)


def test_a_number_given_to_another_program_counts_as_ended(engine: Engine) -> None:
    lock(engine, os.getpid())
    assert repair.locks(engine, "dev-apps")[0].dead


def test_a_living_processes_lock_stays(engine: Engine) -> None:
    alive = engine.folder / "pulumi-like"
    alive.symlink_to("/bin/sleep")
    with subprocess.Popen([alive, "60"]) as process:
        try:
            comm = Path(f"/proc/{process.pid}/comm")
            # Until the child has become its program it has the name of ours.
            wait_for(lambda: "pulumi" in comm.read_text(), what="the program's name")
            lock(engine, process.pid)
            assert left(engine) == []
            there = in_a_store(engine, refusal(f"me@{platform.node()} (pid {process.pid})"))
            for place in (engine, there):
                with pytest.raises(Fault, match="in use"):
                    repair.fix(place, "dev-apps")
        finally:
            process.kill()
    assert "cancel" not in calls(engine)


def test_another_hosts_lock_stays(engine: Engine) -> None:
    lock(engine, ended(), host="elsewhere")
    with pytest.raises(Fault, match="me@elsewhere"):
        repair.fix(engine, "dev-apps")
    assert "cancel" not in calls(engine)


@pytest.mark.parametrize("text", ["", '{"pid": 12, "usern', "{}", "[]"])
def test_an_unreadable_lock_is_of_an_unknown_owner(engine: Engine, text: str) -> None:
    lock(engine, ended())
    (file,) = (engine.folder / "the state").glob(".pulumi/locks/**/*.json")
    file.write_text(text)
    assert "cannot be read" in left(engine)[0]
    with pytest.raises(Fault, match="When that process has surely ended, pulumi cancel"):
        repair.fix(engine, "dev-apps")
    assert "cancel" not in calls(engine)


def in_a_store(engine: Engine, said: str) -> Engine:
    """The same engine on a store; its `pulumi` answers this where it would take the lock."""
    pulumi = engine.folder / "pulumi"
    answer = f"[ \"$2\" = rename ] && {{ cat '{engine.folder}/said' >&2; exit 255; }}\nexit 0"
    pulumi.write_text(pulumi.read_text().replace("exit 0", answer))
    (engine.folder / "said").write_text(said)
    variables = {**engine.variables, "PULUMI_BACKEND_URL": "s3://pulumi-state"}
    return Engine(folder=engine.folder, variables=variables)


def refusal(*owners: str) -> str:
    """What Pulumi says of locks (pkg/backend/diy/lock.go)."""
    lines = [
        f"\n  s3://pulumi-state/.pulumi/locks/x/{number}.json?region=eu: created by {owner} at "
        "2026-01-01T00:00:00Z"
        for number, owner in enumerate(owners)
    ]
    return f"error: the stack is currently locked by {len(owners)} lock(s). " + "".join(lines)


def test_a_dead_processes_lock_in_a_store_goes(engine: Engine) -> None:
    there = in_a_store(engine, refusal(f"me@{platform.node()} (pid {ended()})"))
    assert "has ended: me@" in left(there)[0]
    repair.fix(there, "dev-apps")
    assert "cancel --yes -s dev-apps" in calls(engine)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (refusal("DOMAIN\\me@elsewhere (pid 12)"), r"locked: DOMAIN\\me@elsewhere, process 12"),
        (refusal(f"me@{platform.node()} (pid {ended()})", "me@elsewhere (pid 1)"), "me@elsewhere"),
        ("error: unexpected end of JSON input", "cannot be read"),
        ("error: 403 Forbidden", "403 Forbidden"),
    ],
    ids=["elsewhere", "one-of-two", "cut-off", "no-answer"],
)
def test_any_other_lock_in_a_store_stays(engine: Engine, said: str, reason: str) -> None:
    there = in_a_store(engine, said)
    with pytest.raises(Fault, match=reason):
        repair.fix(there, "dev-apps")
    assert "cancel" not in calls(engine)


def test_no_lock_in_a_store(engine: Engine) -> None:
    said = "error: a stack named organization/datalab/dev-apps already exists"
    assert repair.locks(in_a_store(engine, said), "dev-apps") == []


def test_an_id_comes_from_the_inputs() -> None:
    made = {
        "urn": "urn:pulumi:lab-platform::datalab::x::docker",
        "type": "proxmoxve:index/vmLegacy:VmLegacy",
        "inputs": {"nodeName": "pve", "vmId": 202},
    }
    assert repair.identify(made, [], lambda *_: None) == "pve/202"


def test_a_secret_name_is_opened() -> None:
    secret = {SECRET_MARK: "1b47061264138c4ac30d75fd1eb44270", "plaintext": '"state"'}
    made = {"urn": "u::n", "type": "minio:index/iamUser:IamUser", "inputs": {"name": secret}}
    assert repair.identify(made, [], lambda *_: None) == "state"


def test_find_gets_the_providers_inputs() -> None:
    provider = {"urn": "urn:p", "inputs": {"host": "tcp://docker:2376"}}
    made = {
        "urn": "u::n",
        "type": "docker:index/container:Container",
        "inputs": {"name": "kafka"},
        "provider": "urn:p::some-id",
    }

    def find(kind: str, inputs: object, given: object) -> str:
        return f"{kind.rpartition(':')[2]} {inputs} {given}"

    wanted = "Container {'name': 'kafka'} {'host': 'tcp://docker:2376'}"
    assert repair.identify(made, [provider], find) == wanted


@pytest.mark.parametrize("kind", ["random:index/randomPassword:RandomPassword", "new:new:New"])
def test_what_cannot_be_found_is_made_again(kind: str) -> None:
    assert repair.identify({"urn": "u::n", "type": kind}, [], lambda *_: "x") is None


def test_every_way_is_a_template_or_a_word() -> None:
    for kind, way in repair.import_ids().items():
        assert way in {"find", "forget", "renew"} or "{" in way, kind
