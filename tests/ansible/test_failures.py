"""What goes wrong on the way to a machine ends soon, with the reason, and can be tried again."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cli.commands import vault
from cli.lib import ansible
from cli.lib.ansible import Run, look, runs
from cli.lib.pulumi import DRIFTED, Engine
from targets.ansible import HOST_KEY, PLAYBOOK
from tests.ansible.conftest import ROOT, Lab, common, play
from tests.harness.process import clean_environment, free_port

pytestmark = pytest.mark.service


def host_key(
    address: str, port: int, wait_s: int, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the program's own command for a host key."""
    variables = {"SSH_ADDRESS": address, "SSH_PORT": str(port), "SSH_WAIT_S": str(wait_s)}
    return subprocess.run(
        [*HOST_KEY.split(), *arguments],
        cwd=ROOT,
        env=clean_environment(**variables, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=wait_s + 60,
    )


def failed(job: dict[str, Any], retries: int = 6) -> str:
    """The last line of a run that must fail."""
    # A connection that an earlier run left open would be let in without another look.
    with tempfile.TemporaryDirectory() as sockets:
        run = play(job, ANSIBLE_SSH_CONTROL_PATH_DIR=sockets, ANSIBLE_SSH_RETRIES=str(retries))
    assert run.code != 0, run.output
    last = next(row for row in reversed(run.output.splitlines()) if "FAILED" in row)
    assert job["private_key"].splitlines()[1] not in run.output
    return last


def test_the_host_key_is_what_the_machine_has(lab: Lab) -> None:
    found = host_key(lab.machine.address, 22, 10)
    assert found.returncode == 0
    assert found.stdout.strip() == lab.machine.host_keys
    own = lab.machine.run("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")
    assert own in found.stdout.splitlines()


def test_a_host_that_does_not_answer() -> None:
    port = free_port()
    found = host_key("127.0.0.1", port, 2)
    assert found.returncode == 1
    assert f"127.0.0.1 port {port}: no SSH server answered within 2 s" in found.stderr


def test_a_known_host_key_is_kept_and_no_other_is_taken_for_it(tmp_path: Path) -> None:
    scan = tmp_path / "ssh-keyscan"
    scan.write_text('#!/bin/sh\nprintf "192.0.2.7 %s\\n" "ssh-ed25519 AAAAnew" "ssh-rsa AAAAold"\n')
    scan.chmod(0o755)

    def known(*keys: str) -> subprocess.CompletedProcess[str]:
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        before = "\n".join(keys)
        return host_key("192.0.2.7", 22, 0, "known", PATH=path, PULUMI_COMMAND_STDOUT=before)

    # Anyone who answers may name a machine's public key: what it names besides is not taken.
    same = known("ecdsa-sha2-nistp256 AAAAgone", "ssh-rsa AAAAold")
    assert same.returncode == 0, same.stderr
    assert same.stdout == "ecdsa-sha2-nistp256 AAAAgone\nssh-rsa AAAAold\n"
    for other in ("ssh-ed25519 AAAAold", "ssh-rsa AAAA", "ssh-rsa AAAAol.", ""):
        refused = known(other)
        assert refused.returncode == 1
        assert not refused.stdout
        assert "another host key than at first contact" in refused.stderr
        assert "docs/machines.md" in refused.stderr


def test_another_host_key_than_at_first_contact(lab: Lab) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    job = {**lab.machine.job(["common"], common(lab)), "host_keys": other}
    last = failed(job, retries=0)
    assert last.startswith("FAILED machine machine")
    assert "docs/machines.md" in last


def test_a_wrong_key(lab: Lab, tmp_path: Path) -> None:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")]
    subprocess.run(words, check=True)
    job = lab.machine.job(["common"], common(lab))
    job["private_key"] = (tmp_path / "key").read_text()
    last = failed(job, retries=0)  # or it tries for a minute
    assert "Permission denied (publickey)" in last


def test_a_task_that_fails_is_named_with_its_role_and_machine(lab: Lab) -> None:
    job = lab.machine.job(["common"], {**common(lab), "common_journal_mib": "much"})
    last = failed(job)
    assert last.startswith("FAILED machine machine, role common, task ")
    assert "common_journal_mib" in last
    # Fixed, it goes on.
    lab.apply(["common"], common(lab))


def test_a_first_boot_that_takes_too_long_says_so(lab: Lab) -> None:
    stand_in = lab.machine.root / "usr/local/bin/cloud-init"
    stand_in.write_text("#!/bin/sh\nexit 124\n")  # as `timeout` ends
    stand_in.chmod(0o755)
    try:
        last = failed(lab.machine.job([], {}))
    finally:
        stand_in.unlink()
    assert "cloud-init has not ended within 1800 s" in last


def test_no_machine_is_no_success() -> None:
    done = play({"host": "nothing"})
    assert done.code != 0
    assert "standard input is no machine" in done.output


def test_drift_is_seen_and_not_fixed(lab: Lab) -> None:
    engine = Engine(folder=ROOT, variables=os.environ)
    run = Run(name="machine-roles", job=json.dumps(lab.machine.job(["common"], common(lab))))
    assert look(engine, run, "--diff").code == 0
    lab.machine.run("echo PasswordAuthentication yes >/etc/ssh/sshd_config.d/10-datalab.conf")
    assert look(engine, run, "--diff").code == DRIFTED
    seen = look(engine, run)
    assert seen.code == DRIFTED
    task = "role common, task 'Let keys in, and no passwords'"
    assert seen.differences[0] == f"machine machine, {task}"
    assert "PasswordAuthentication" not in seen.output
    lab.machine.run("grep -q 'PasswordAuthentication yes' /etc/ssh/sshd_config.d/10-datalab.conf")
    lab.apply(["common"], common(lab))
    assert "passwordauthentication no" in lab.machine.run("sshd -T")


def test_the_unseal_key_is_told_on_request(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.machine.run(
        "mkdir -p /var/lib/vault; test -e /var/lib/vault/unseal-key ||"
        " echo the-key >/var/lib/vault/unseal-key"
    )
    job = json.dumps(lab.machine.job([], {}))
    monkeypatch.setattr(ansible, "runs", lambda *_: [Run(name=vault.ROLES, job=job)])
    found = vault._of_machine(Engine(folder=ROOT, variables={}), "lab-foundation")
    assert found == lab.machine.run("cat /var/lib/vault/unseal-key")


@pytest.mark.parametrize(
    "create", [PLAYBOOK, ".venv/bin/ansible-playbook --inventory /dev/stdin ansible/machine.yml"]
)
def test_runs_are_found_in_a_state_with_their_secrets(
    monkeypatch: pytest.MonkeyPatch, create: str
) -> None:
    """Also in a state of before the last change of the command."""
    state = {
        "deployment": {
            "resources": [
                {"urn": "urn:pulumi:lab-foundation::datalab::pulumi:pulumi:Stack::x"},
                {
                    "urn": "urn:pulumi:s::datalab::command:local:Command::vault-roles",
                    "inputs": {
                        "create": create,
                        "stdin": {"plaintext": json.dumps(json.dumps({"host": "vault"}))},
                    },
                },
            ]
        }
    }
    monkeypatch.setattr(Engine, "capture", lambda *_, **_more: json.dumps(state))
    (run,) = runs(Engine(folder=ROOT, variables={}), "lab-foundation")
    assert run.name == "vault-roles"
    assert json.loads(run.job) == {"host": "vault"}
