"""Real servers of Vault's API, in memory: OpenBao, and Vault where there is time for it."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hvac
from hvac.exceptions import InvalidRequest

from cli.lib.packaged import programs
from settings.packaged import FOLDER
from tests.harness.process import clean_environment, free_port, listens, server, wait_for


@dataclass(frozen=True)
class VaultServer:
    """A running server with an empty KV v2 engine at `kv/`; every request is in its audit log."""

    address: str
    root_token: str
    audit: Path

    def client(self, token: str | None = None) -> hvac.Client:
        """A client with the root token, or with `token`."""
        return hvac.Client(url=self.address, token=token or self.root_token)


@contextmanager
def openbao(folder: Path) -> Iterator[VaultServer]:
    """Run OpenBao from its package for Python."""
    # It takes audit devices from its configuration only (since 2.4).
    config = folder / "bao.hcl"
    config.write_text(
        f'audit "file" "all" {{\n  options = {{ file_path = "{folder / "audit.log"}" }}\n}}\n'
    )
    bao = Path(sys.executable).with_name("bao")
    with _running(folder, [bao, "server", "-dev", f"-config={config}"], "BAO") as made:
        yield made


@contextmanager
def vault(folder: Path) -> Iterator[VaultServer]:
    """Run Vault, built once from its Go module: ten minutes on 2 cores."""
    with _running(folder, [vault_program(), "server", "-dev"], "VAULT") as made:
        device = {"type": "file", "options": {"file_path": str(made.audit)}}
        made.client().write_data("sys/audit/all", data=device)
        yield made


def mount_kv(client: hvac.Client) -> None:
    """Mount the lab's KV, and wait until it takes values: its first seconds are an upgrade."""
    client.sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})

    def upgraded() -> bool:
        try:
            return bool(client.secrets.kv.v2.read_configuration(mount_point="kv"))
        except InvalidRequest:
            return False

    wait_for(upgraded, what="kv")


@contextmanager
def _running(folder: Path, command: list[str | Path], prefix: str) -> Iterator[VaultServer]:
    port, token = free_port(), secrets.token_hex(16)
    made = VaultServer(f"http://127.0.0.1:{port}", token, folder / "audit.log")
    with server(
        command,
        lambda: listens(port) and bool(made.client().sys.read_health_status(method="GET")),
        folder / "server.log",
        env=clean_environment(
            **{f"{prefix}_DEV_ROOT_TOKEN_ID": token},
            **{f"{prefix}_DEV_LISTEN_ADDRESS": f"127.0.0.1:{port}"},
            HOME=str(folder),
        ),
        cwd=folder,
    ):
        mount_kv(made.client())
        yield made


def vault_program() -> Path:
    """Vault's program of the version in go.mod, built where the cache does not have it."""
    return programs.go_module(FOLDER / "vault") / "vault"
