"""`./lab state move` into a real S3 server, over TLS that only the lab's own CA vouches for."""

import datetime
import ipaddress
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from layers import LAYERS
from tests.cli.real import RealCheckout, checkout
from tests.harness.process import clean_environment, free_port, listens, server

pytestmark = pytest.mark.service

KEY = "planted-secret-key"
TOKEN = "pulumi@pam!lab=11111111-2222-3333-4444-555555555555"
PROGRAM = """
import os
import pulumi
layer = pulumi.get_stack().rpartition("-")[2]
if layer == "foundation":
    pulumi.export("object_store", {"endpoint": os.environ["STORE"], "region": "eu-west-1"})
    own = {"access_key": "state", "secret_key": os.environ["STORE_KEY"]}
    pulumi.export("credentials", pulumi.Output.secret({"state": own}))
    pulumi.export("ca_certificate", open(os.environ["STORE_CA"]).read())
else:
    lower = pulumi.StackReference("organization/datalab/lab-foundation")
    pulumi.export("region", lower.require_output("object_store")["region"])
"""


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, its key next to it; returns the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "ca.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return folder / "ca.pem"


def store(folder: Path, authority: Path, port: int) -> list[str]:
    """The command of an S3 server with one user; the bucket is there, as the foundation makes it.

    rclone's, because SeaweedFS lists the folder of a lock that is gone as if it were a lock.
    """
    (folder / "data" / "pulumi-state").mkdir(parents=True)
    return [
        *("rclone", "serve", "s3", "--config", "/dev/null", "--auth-key", f"state,{KEY}"),
        *("--addr", f"127.0.0.1:{port}", "--cert", str(authority)),
        *("--key", str(authority.parent / "key.pem"), str(folder / "data")),
    ]


@pytest.fixture
def lab(tmp_path: Path, pulumi_environment: Mapping[str, str]) -> Iterator[RealCheckout]:
    """A lab whose two lower layers are up, and the store that its foundation speaks of."""
    authority, port = certificate(tmp_path), free_port()
    folder = tmp_path / "checkout"
    folder.mkdir()
    made = checkout(folder, clean_environment(**pulumi_environment), PROGRAM)
    made.variables |= {
        "PULUMI_CONFIG_PASSPHRASE": "own words",
        "STORE": f"https://127.0.0.1:{port}",
        "STORE_CA": str(authority),
        "STORE_KEY": KEY,
    }
    command = store(tmp_path, authority, port)
    log = tmp_path / "store.log"
    with server(command, lambda: listens(port), log, env=made.variables, cwd=tmp_path):
        for words in (["init", "lab"], *(["up", "lab", layer, "--yes"] for layer in LAYERS[:2])):
            answer = made.lab(*words, typed=TOKEN)
            assert answer.returncode == 0, answer.stdout + answer.stderr
        yield made


def test_state_moves_works_there_and_comes_back(lab: RealCheckout) -> None:
    moved = lab.lab("state", "move", "lab")
    assert moved.returncode == 0, moved.stderr
    assert KEY not in moved.stdout + moved.stderr
    # The references between the layers resolve in the store.
    up = lab.lab("up", "lab", "platform", "--yes", "--", "--expect-no-changes")
    assert up.returncode == 0, up.stdout + up.stderr
    # By hand, after what `./lab env` prints, Pulumi reaches the same state.
    script = lab.lab("env", "lab").stdout + "\npulumi stack ls --json"
    answer = subprocess.run(
        ["sh", "-c", script],
        cwd=lab.root,
        env=lab.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)) == 4
    again = lab.lab("state", "move", "lab")
    assert "already" in again.stderr

    rescued = lab.lab("state", "rescue", "lab", "--yes")
    assert rescued.returncode == 0, rescued.stderr
    up = lab.lab("up", "lab", "foundation", "--yes", "--", "--expect-no-changes")
    assert up.returncode == 0, up.stdout + up.stderr
    back = lab.lab("state", "move", "lab")
    assert back.returncode == 0, back.stderr
    preview = lab.lab("preview", "lab", "platform", "--", "--expect-no-changes")
    assert preview.returncode == 0, preview.stdout + preview.stderr


def test_a_store_that_refuses_changes_nothing(lab: RealCheckout) -> None:
    lab.variables["STORE_KEY"] = "a wrong key"
    assert lab.lab("up", "lab", "foundation", "--yes").returncode == 0
    moved = lab.lab("state", "move", "lab")
    assert moved.returncode != 0
    assert "Traceback" not in moved.stderr
    assert not (lab.root / ".state" / "lab" / "backend").exists()
    preview = lab.lab("preview", "lab", "platform", "--", "--expect-no-changes")
    assert preview.returncode == 0, preview.stdout + preview.stderr


def put(lab: RealCheckout, name: str, text: str) -> None:
    """Put a lock of lab-platform into the store, as an engine on any machine would."""
    access = {
        "RCLONE_S3_PROVIDER": "Rclone",
        "RCLONE_S3_ACCESS_KEY_ID": "state",
        "RCLONE_S3_SECRET_ACCESS_KEY": KEY,
        "RCLONE_S3_ENDPOINT": lab.variables["STORE"],
    }
    command = ["rclone", "rcat", "--config", "/dev/null", "--ca-cert", lab.variables["STORE_CA"]]
    subprocess.run(
        [*command, f":s3:pulumi-state/.pulumi/locks/organization/datalab/lab-platform/{name}"],
        env={**lab.variables, **access},
        input=text,
        text=True,
        check=True,
        timeout=60,
    )


def test_repair_reads_the_locks_in_the_store(lab: RealCheckout, tmp_path: Path) -> None:
    assert lab.lab("state", "move", "lab").returncode == 0
    settings = (lab.root / "Pulumi.lab.yaml").read_bytes()
    before = lab.lab("repair", "lab", "platform")
    assert (before.returncode, "in order" in before.stderr) == (0, True), before.stderr

    with subprocess.Popen(["true"]) as ended:
        pass
    lock = tmp_path / "data/pulumi-state/.pulumi/locks/organization/datalab/lab-platform/0.json"
    held = {"username": "me", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00Z"}
    for text, reason in (
        (json.dumps({**held, "pid": 1}), "is locked: me@elsewhere, process 1, since 2026-01-01"),
        (json.dumps({**held, "pid": 1})[:30], "its lock cannot be read"),
    ):
        put(lab, lock.name, text)
        answer = lab.lab("repair", "lab", "platform", "--yes")
        assert answer.returncode == 1, answer.stderr
        assert reason in answer.stderr
        assert "in order" not in answer.stderr
        assert lock.exists()

    put(lab, lock.name, json.dumps({**held, "pid": ended.pid, "hostname": platform.node()}))
    repaired = lab.lab("repair", "lab", "platform", "--yes")
    assert repaired.returncode == 0, repaired.stderr
    assert f"removing the lock of me@{platform.node()}, process {ended.pid}" in repaired.stderr
    assert not lock.exists()
    assert (lab.root / "Pulumi.lab.yaml").read_bytes() == settings
