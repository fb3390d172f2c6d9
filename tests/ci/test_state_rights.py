"""Previews read the state and deployments write it: a real S3 server enforces the real policies."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cli.ci import publish
from cli.lib import backend
from cli.lib.backend import s3_url
from layers.foundation.object_store import ACCESS, access_policy
from tests.cli.real import RealCheckout, checkout
from tests.harness.certificates import Authority
from tests.harness.pipelines import git
from tests.harness.process import clean_environment, wait_for
from tests.harness.s3 import S3, s3, secret_key

pytestmark = pytest.mark.service

PASSPHRASE = "own words"
VARIABLE = backend.PASSPHRASE[0]
TOKEN = "pulumi@pam!lab=11111111-2222-3333-4444-555555555555"
PROGRAM = """
import pulumi
layer = pulumi.get_stack().rpartition("-")[2]
if layer == "foundation":
    pulumi.export("region", "eu-west-1")
else:
    lower = pulumi.StackReference("organization/datalab/lab-foundation")
    pulumi.export("region", lower.require_output("region"))
"""
USERS = sorted(set(publish.STATE_USERS.values()))


def rclone(
    store: S3, authority: Path, user: tuple[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    """Run rclone, for which the store is `:s3:`, with a user's access and secret key."""
    return subprocess.run(
        [Path(sys.executable).with_name("rclone"), *words],
        env=clean_environment(
            RCLONE_CONFIG="/dev/null",
            RCLONE_S3_PROVIDER="Other",
            RCLONE_S3_ENDPOINT=store.url,
            RCLONE_S3_ACCESS_KEY_ID=user[0],
            RCLONE_S3_SECRET_ACCESS_KEY=user[1],
            RCLONE_CA_CERT=str(authority),
        ),
        capture_output=True,
        text=True,
        check=False,
    )


class Lab:
    """A checkout like that of a job, and the state of two layers in the store."""

    def __init__(self, here: RealCheckout, store: S3, authority: Path) -> None:
        self.here, self.store, self.authority = here, store, authority
        self.variables = dict(here.variables)

    def job(self, path: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`./lab WORDS` with the variables that a job finds under kv/infra/ci/`path`."""
        common = {
            "PULUMI_BACKEND_URL": s3_url(self.store.url, "eu-west-1"),
            VARIABLE: PASSPHRASE,
        }
        keys = {user: {"access_key": user, "secret_key": secret_key(user)} for user in USERS}
        record = publish.state_records("lab", common, keys)[path]
        self.here.variables = {**self.variables, **record, "AWS_CA_BUNDLE": str(self.authority)}
        return self.here.lab(*words)

    def objects(self) -> list[str]:
        """Every object of the bucket with size and time."""
        root = (self.store.access_key, self.store.secret_key)
        listed = rclone(self.store, self.authority, root, "lsl", ":s3:pulumi-state")
        assert listed.returncode == 0, listed.stderr
        return sorted(listed.stdout.splitlines())


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, pulumi_environment: Mapping[str, str]
) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("rights")
    signer = Authority()
    authority = folder / "ca.pem"
    authority.write_text(signer.pem)
    place = folder / "checkout"
    place.mkdir()
    here = checkout(place, clean_environment(**pulumi_environment), PROGRAM)
    git(place, "init", "-q", "-b", "main")
    git(place, "add", "__main__.py")
    git(place, "commit", "-q", "-m", "one")
    here.variables[VARIABLE] = PASSPHRASE
    for words in (["init", "lab"], ["up", "lab", "foundation", "--yes"]):
        answer = here.lab(*words, typed=TOKEN)
        assert answer.returncode == 0, answer.stdout + answer.stderr
    del here.variables[VARIABLE]
    with s3(folder, signer.server(), {user: access_policy(user) for user in ACCESS}) as store:
        root = (store.access_key, store.secret_key)
        # It listens before it works.
        make = ("mkdir", ":s3:pulumi-state")
        wait_for(lambda: not rclone(store, authority, root, *make).returncode, what="the bucket")
        # Copied as it is: SeaweedFS lists the folder of a lock that is gone as if it were a lock,
        # and moving the state with Pulumi takes many.
        state = str(place / ".state" / "lab")
        copied = rclone(store, authority, root, "copy", state, ":s3:pulumi-state")
        assert copied.returncode == 0, copied.stderr
        (place / ".state" / "lab" / "backend").write_text(s3_url(store.url, "eu-west-1"))
        yield Lab(here, store, authority)


def test_a_preview_writes_nothing_and_may_write_nothing(lab: Lab) -> None:
    before = lab.objects()
    seen = lab.job("preview", "ci", "preview", "lab", "platform")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert (lab.here.root / ".ci-out" / "platform.json").exists()
    assert lab.objects() == before

    up = lab.job("preview", "up", "lab", "platform", "--yes")
    assert up.returncode != 0
    assert "AccessDenied" in up.stdout + up.stderr
    assert lab.objects() == before


def test_a_deployment_writes(lab: Lab) -> None:
    before = lab.objects()
    up = lab.job("deploy", "up", "lab", "platform", "--yes")
    assert up.returncode == 0, up.stdout + up.stderr
    assert lab.objects() != before


def test_nobody_else_reaches_the_state(lab: Lab) -> None:
    reach = {
        user
        for user in ACCESS
        if "meta.yaml"
        in rclone(
            lab.store, lab.authority, (user, secret_key(user)), "lsf", "-R", ":s3:pulumi-state"
        ).stdout
    }
    assert reach == {"state", "state-reader"}
