"""A real server of Vault's API: OpenBao in memory, from its package for Python."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hvac

from tests.harness.process import clean_environment, free_port, listens, server


@dataclass(frozen=True)
class OpenBao:
    """A running server."""

    address: str
    root_token: str
    audit: Path

    def client(self, token: str | None = None) -> hvac.Client:
        """A client with the root token, or with `token`."""
        return hvac.Client(url=self.address, token=token or self.root_token)


@contextmanager
def openbao(folder: Path) -> Iterator[OpenBao]:
    """Run a server with an empty KV v2 engine at `kv/`; every request is in its audit log."""
    port, token = free_port(), secrets.token_hex(16)
    running = OpenBao(f"http://127.0.0.1:{port}", token, folder / "audit.log")
    # OpenBao takes audit devices from its configuration only (since 2.4).
    config = folder / "bao.hcl"
    config.write_text(
        f'audit "file" "all" {{\n  options = {{ file_path = "{running.audit}" }}\n}}\n'
    )
    with server(
        [Path(sys.executable).with_name("bao"), "server", "-dev", f"-config={config}"],
        lambda: listens(port) and bool(running.client().sys.read_health_status(method="GET")),
        folder / "openbao.log",
        env=clean_environment(
            BAO_DEV_ROOT_TOKEN_ID=token,
            BAO_DEV_LISTEN_ADDRESS=f"127.0.0.1:{port}",
            HOME=str(folder),
        ),
        cwd=folder,
    ):
        running.client().sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})
        yield running
