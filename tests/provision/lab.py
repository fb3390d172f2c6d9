"""A lab for provision's tests: real PostgreSQL, Kafka and Vault API, stand-ins for the rest."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layers.services.postgresql import ROLES
from layers.services.postgresql import login as database_login
from tests.harness.gitlab import GitLab, gitlab
from tests.harness.gitlab_vault import configure
from tests.harness.inputs import declared
from tests.harness.ollama import Ollama, ollama
from tests.harness.postgresql import PostgreSql, postgresql
from tests.harness.postgresql_provider import create_all
from tests.harness.process import clean_environment
from tests.harness.vault_api import VaultServer, openbao
from tests.layers.containers import world

ROOT = Path(__file__).parents[2]
LAB_PROJECT = 1
READ_TOKEN = "glpat-reads-pipelines-0123456789"


def password(role: str) -> str:
    """The password of `role` of layers.services.postgresql.ROLES, until a test rotates it."""
    return f"{role}-of-the-test"


@dataclass
class Lab:
    """The servers, and every process's output, which must hold no secret."""

    bao: VaultServer
    gitlab: GitLab
    postgres: PostgreSql
    ollama: Ollama
    bytecode: Path
    outputs: list[str] = field(default_factory=list)

    def environment(self, project: int | str = LAB_PROJECT, **extra: str) -> dict[str, str]:
        """A job's environment in `project`; in the lab's own it may log in as the provisioner."""
        source = extra.pop("pipeline_source", "trigger" if project == LAB_PROJECT else "push")
        token = self.gitlab.id_token(int(project), pipeline_source=source)
        environment = clean_environment(
            VAULT_ADDR=self.bao.address,
            VAULT_ID_TOKEN=token,
            CI_PROJECT_ID=str(project),
            PYTHONPATH=str(ROOT),
            # As in the runner image, where pip has compiled the libraries.
            PYTHONPYCACHEPREFIX=str(self.bytecode),
            **extra,
        )
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment

    def start(self, *words: str, env: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start `provision WORDS`."""
        return subprocess.Popen(
            [sys.executable, "-m", "provision", *words],
            env=env or self.environment(),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    def finish(self, process: "subprocess.Popen[str]") -> tuple[int, str]:
        """(exit code, output) of what `start` started."""
        output, _ = process.communicate(timeout=120)
        self.outputs.append(output)
        return process.returncode, output

    def run(self, *words: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        """(exit code, output) of `provision WORDS`."""
        return self.finish(self.start(*words, env=env))

    def kill_everywhere(self, kind: str, spec: Callable[[str], dict[str, str]]) -> Iterator[str]:
        """Kill `provision KIND` before its 1st, 2nd, ... call to a server, and run it again.

        Yields the name, of which `spec` makes a request, after each second run; the last is one
        that no call was left to be killed at. AssertionError when a second run fails.
        """
        step, killed = 0, True
        while killed:
            step += 1
            words = self.ask(42, kind, **spec(name := f"killed_{step}"))
            dead = subprocess.run(
                [sys.executable, "-m", "tests.provision.killer", str(step), *words],
                env=self.environment(),
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            killed = dead.returncode == -signal.SIGKILL
            assert killed or dead.returncode == 0, dead.stderr
            code, output = self.run(*words)
            assert code == 0, f"after a kill at step {step}: {output}"
            yield name

    def write(self, path: str, record: dict[str, Any]) -> None:
        """Put a record into kv as root."""
        self.bao.client().secrets.kv.v2.create_or_update_secret(path, record, mount_point="kv")

    def read(self, path: str) -> dict[str, Any]:
        """A record of kv with its `version`."""
        answer = self.bao.client().secrets.kv.v2.read_secret_version(
            path, mount_point="kv", raise_on_deleted_version=True
        )
        found: dict[str, Any] = answer["data"]["data"]
        return {**found, "version": answer["data"]["metadata"]["version"]}

    def tell_vault(self, logins: Mapping[str, tuple[str, str]]) -> None:
        """What the services layer writes into Vault: role -> who logs in for it, and how."""
        server = {"host": self.postgres.host, "port": str(self.postgres.port)}
        user, secret = logins["provisioner"]
        self.write(
            "infra/provision/postgres",
            {**server, "user": user, "password": secret, "vault_user": "vault"},
        )
        user, secret = logins["vault"]
        self.bao.client().write_data(
            "database/config/postgres",
            data={
                "plugin_name": "postgresql-database-plugin",
                "allowed_roles": ["project-*"],
                "connection_url": "postgresql://{{username}}:{{password}}@"
                f"{server['host']}:{server['port']}/postgres?sslmode=disable",
                "username": user,
                "password": secret,
                "password_authentication": "scram-sha-256",
            },
        )

    def ask(self, project: int, kind: str, request: str = "ab" * 16, **spec: object) -> list[str]:
        """Write a request as root; the words for `provision` to act on it."""
        self.write(f"projects/{project}/requests/{request}", {"kind": kind, **spec})
        return [kind, "--project", str(project), "--request", request]


@contextmanager
def lab(
    folder: Path, vault: Callable[[Path], AbstractContextManager[VaultServer]] = openbao
) -> Iterator[Lab]:
    """Everything but Kafka, which takes long to start; `vault` is the server of Vault's API."""
    with ExitStack() as stack:
        places = {name: folder / name for name in ("vault", "postgresql")}
        for place in places.values():
            place.mkdir()
        bao = stack.enter_context(vault(places["vault"]))
        forge = stack.enter_context(
            gitlab(
                project_id=LAB_PROJECT,
                tokens={READ_TOKEN: "read_api"},
                pipeline_inputs=declared(ROOT / ".gitlab-ci.yml"),
            )
        )
        database = stack.enter_context(postgresql(places["postgresql"]))
        models = stack.enter_context(ollama())
        with database.connect() as connection:
            passwords = {database_login(role): password(role) for role in ROLES}
            create_all(connection, world("dev")["services"], passwords)
        made = Lab(
            bao=bao,
            gitlab=forge,
            postgres=database,
            ollama=models,
            bytecode=folder / "bytecode",
        )
        _fill_vault(made)
        yield made


def _fill_vault(made: Lab) -> None:
    configure(made.bao, made.gitlab.url, LAB_PROJECT)
    made.bao.client().sys.enable_secrets_engine("database")
    made.tell_vault(
        {role: (database_login(role), password(role)) for role in ("provisioner", "vault")}
    )
    made.write("infra/provision/ollama", {"url": made.ollama.url})
    made.write(
        "shared/provision",
        {
            "url": made.gitlab.url,
            "project_id": str(LAB_PROJECT),
            "ref": "main",
            "trigger_token": made.gitlab.trigger_token,
            "read_token": READ_TOKEN,
        },
    )
