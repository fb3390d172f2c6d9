"""A real Kafka broker in KRaft mode from its Maven jars; needs Java 17 and, once, Maven."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cli.lib.packaged.programs import of
from settings.packaged import contracts
from tests.harness.process import clean_environment, free_port, server

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


def jars() -> Path:
    """The broker's jars, fetched by Maven once per version."""
    return of("kafka", "jars", contracts()["kafka"].programs["jars"])


def prepare(folder: Path) -> str:
    """Settings and an empty log for a broker in this folder; its bootstrap address."""
    port, controller, data = free_port(), free_port(), folder / "logs"
    settings = folder / "server.properties"
    settings.write_text(SETTINGS.format(port=port, controller=controller, data=data))
    subprocess.run(
        [*java(), "kafka.tools.StorageTool", "format", "-t", str(uuid.uuid4()), "-c", settings],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return f"127.0.0.1:{port}"


@contextmanager
def broker(folder: Path, address: str, memory: str = "256m") -> Iterator[subprocess.Popen[bytes]]:
    """Run the broker that was prepared here, with what its log holds."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})

    def ready() -> bool:
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    with server(
        [*java(memory), "kafka.Kafka", folder / "server.properties"],
        ready,
        folder / "kafka.log",
        env=clean_environment(),
        cwd=folder,
    ) as process:
        yield process


@contextmanager
def kafka(folder: Path, memory: str = "256m") -> Iterator[str]:
    """Run a new broker; yields its bootstrap address."""
    address = prepare(folder)
    with broker(folder, address, memory):
        yield address


def java(memory: str = "256m") -> list[str]:
    """The command that runs a program of its jars."""
    options = [f"-Xmx{memory}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return ["java", *options, "-cp", f"{jars()}/*"]
