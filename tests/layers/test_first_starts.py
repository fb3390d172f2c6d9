"""Servers that keep data, killed in their first start: the next one finishes it (#10.3).

PostgreSQL, MLflow and Open WebUI have tests of their own (tests/layers/services), Vault its
bootstrap's, GitLab its scripts'.
"""

import base64
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.harness.kafka import SETTINGS, java
from tests.harness.minio import minio
from tests.harness.process import clean_environment, free_port, listens, server, wait_for

pytestmark = pytest.mark.service
# What the image of apache/kafka does (docker/jvm/launch), by its own program.
LAUNCH = """\
setup="kafka.docker.KafkaDockerWrapper setup --default-configs-dir defaults"
result=$($JAVA $setup --mounted-configs-dir mounted --final-configs-dir final 2>&1) ||
  echo "$result" | grep -i "already formatted" || { echo "$result"; exit 1; }
exec $JAVA kafka.Kafka final/server.properties
"""


@dataclass(frozen=True)
class Started:
    """A server that keeps its data in the folder `data` of where it runs."""

    folder: Path
    port: int
    command: Sequence[str]
    environment: dict[str, str]

    def killed(self, step: Callable[[Path], bool]) -> None:
        """Start it, and kill all of it as soon as its data are at this step."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def reached() -> bool:
            assert process.poll() is None, (self.folder / "log").read_text()
            return step(self.folder / "data")

        wait_for(reached, what="the step")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def starts(self) -> None:
        """Start it until it takes connections."""
        log = self.folder / "log"
        ready = partial(listens, self.port)
        with server(self.command, ready, log, env=self.environment, cwd=self.folder):
            pass


def kafka(folder: Path) -> Started:
    port, controller = free_port(), free_port()
    for name in ("defaults", "mounted", "final"):
        (folder / name).mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (folder / "defaults" / name).touch()
    text = SETTINGS.format(port=port, controller=controller, data="data")
    (folder / "mounted/server.properties").write_text(text)
    environment = clean_environment(
        CLUSTER_ID=base64.urlsafe_b64encode(bytes(16)).decode().rstrip("="),
        JAVA=" ".join(java()),
    )
    return Started(folder, port, ["sh", "-f", "-c", LAUNCH], environment)


def store(folder: Path) -> Started:
    port = free_port()
    environment = clean_environment(MINIO_ROOT_USER="root", MINIO_ROOT_PASSWORD="password")
    address = f"127.0.0.1:{port}"
    return Started(
        folder, port, [str(minio()), "server", "data", "--address", address], environment
    )


STEPS: dict[str, tuple[Callable[[Path], Started], Callable[[Path], bool]]] = {
    "kafka: a folder": (kafka, lambda data: data.is_dir()),
    "kafka: its first file": (kafka, lambda data: any(data.glob("*"))),
    "kafka: formatted": (kafka, lambda data: (data / "meta.properties").exists()),
    "kafka: its first log": (kafka, lambda data: any(data.glob("__cluster_metadata-0/*.log"))),
    "store: a folder": (store, lambda data: data.is_dir()),
    "store: its own": (store, lambda data: (data / ".minio.sys").is_dir()),
    "store: its format": (store, lambda data: (data / ".minio.sys/format.json").exists()),
    "store: its settings": (store, lambda data: any(data.glob(".minio.sys/config/*"))),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_first_start_killed_at_any_step(step: str, tmp_path: Path) -> None:
    make, reached = STEPS[step]
    started = make(tmp_path)
    started.killed(reached)
    started.starts()
