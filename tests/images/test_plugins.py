"""The plugins of the image that deploys: its own step, with the real Pulumi, without the image."""

import hashlib
import re
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.harness.process import clean_environment
from toolchain import obtain
from toolchain.install import ROOT

pytestmark = pytest.mark.engine


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where a plugin is, and its SHA-256."""
    program = tmp_path / "pulumi-resource-docker"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    file = tmp_path / "pulumi-resource-docker-v5.2.0-linux-amd64.tar.gz"
    with tarfile.open(file, "w:gz") as packed:
        packed.add(program, program.name)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as here:
        threading.Thread(target=here.serve_forever, args=(0.02,), daemon=True).start()
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        yield f"http://127.0.0.1:{here.server_port}/{file.name}", digest
        here.shutdown()


def installed(home: Path, plugins: str) -> subprocess.CompletedProcess[str]:
    """Run the Dockerfile's own words."""
    text = (ROOT / "images/deployer/Dockerfile").read_text()
    (step,) = re.findall(r"^RUN (set -e; for plugin .*?done)$", text, re.MULTILINE | re.DOTALL)
    pulumi = obtain.ensure_pulumi().pulumi
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", step.replace("\\\n", "")],
        env=clean_environment(
            PULUMI_PLUGINS=plugins,
            PULUMI_HOME=str(home),
            PULUMI_SKIP_UPDATE_CHECK="true",
            PATH=f"{pulumi.parent}:/usr/bin:/bin",
        ),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_plugin_with_its_sum_is_installed_and_a_forged_one_is_not(
    tmp_path: Path, server: tuple[str, str]
) -> None:
    at, digest = server
    for name, checksum, code in (("right", digest, 0), ("none", "", 0), ("forged", "0" * 64, 1)):
        home = tmp_path / name
        home.mkdir()
        done = installed(home, f"docker@5.2.0@{at}@{checksum}")
        assert done.returncode == code, done.stderr
        assert (home / "plugins/resource-docker-v5.2.0").exists() == (code == 0), name
        assert ("checksum" in done.stderr) == (code != 0), done.stderr
