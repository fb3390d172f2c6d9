"""Kafka: one broker in KRaft mode, and the lab's own topics."""

import base64
import shlex
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_random as random

from layers.context import Component, LayerContext
from settings.services.kafka import Kafka as Settings
from settings.services.kafka import Topic
from targets import Container, File, Health
from targets.templates import render

FILES = Path(__file__).parent / "files"
OUTSIDE_PORT = 9092
CORES = 4  # what Java counts


class Kafka(Component):
    """The broker and its topics."""

    TYPE = "datalab:services:Kafka"

    @classmethod
    def keep(cls, parent: pulumi.Resource, context: LayerContext) -> None:
        """The identity that the volume was formatted with."""
        _identity(parent, context)

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        identity = _identity(self, context)
        container = context.run(self, name, _container(context, identity.hex.apply(cluster_id)))
        for topic, wanted in sorted(context.get(Settings).topics.items()):
            command.local.Command(
                f"{topic}-topic",
                create=provision(bootstrap(context), topic, wanted),
                # Deletes nothing but by `./lab up ENV --data`, which says so to the command.
                delete=provision(bootstrap(context), topic, wanted, "--absent"),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[container]),
            )
        self.register_outputs({"id": container.id})


def _identity(parent: pulumi.Resource, context: LayerContext) -> random.RandomId:
    return random.RandomId(
        "kafka-cluster",
        byte_length=15,
        # A volume that was formatted for another cluster does not start.
        opts=pulumi.ResourceOptions(parent=parent, protect=context.protect),
    )


def cluster_id(unique: str) -> str:
    """15 bytes in hexadecimal as a Kafka UUID, which is 16 bytes in URL-safe base64.

    A zero comes first, as Kafka's tools would take a leading hyphen for an option.
    """
    return base64.urlsafe_b64encode(bytes(1) + bytes.fromhex(unique)).decode().rstrip("=")


def bootstrap(context: LayerContext) -> str:
    """The broker's address for clients outside of the containers' network."""
    endpoint = context.endpoint("kafka")
    # The address, not the name: it is also what the broker sends clients on to, and not every
    # client's DNS knows the lab.
    return endpoint.reached


def provision(broker: str, topic: str, wanted: Topic, *more: str) -> str:
    """The command that makes the topic and its group, the same that other projects' jobs run.

    It runs in the project's folder, where the engine starts its providers.
    """
    options: Mapping[str, object] = {
        "--bootstrap": broker,
        "--topic": topic,
        "--group": wanted.group,
        "--partitions": wanted.partitions,
        "--retention-hours": wanted.retention_hours,
    }
    words = [str(word) for option in options.items() for word in option]
    return shlex.join([".venv/bin/python", "-m", "provision", "kafka", *words, *more])


def _container(context: LayerContext, identity: pulumi.Output[str]) -> Container:
    wanted, endpoint = context.get(Settings), context.endpoint("kafka")
    size, heap = wanted.container, wanted.heap_mib
    configuration = render(
        FILES / "kafka.properties.j2",
        {
            "inside": endpoint.inner_netloc,
            "outside": bootstrap(context),
        },
    )
    return Container(
        image=context.image(Settings),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        environment={
            "CLUSTER_ID": identity,
            # Java makes threads for the host's cores where the container has no limit of its own:
            # on top of the heap that is 45 MiB more on 64 than on 2 (Kafka 4.0).
            "KAFKA_HEAP_OPTS": f"-Xms{heap}m -Xmx{heap}m -XX:ActiveProcessorCount={CORES}",
        },
        files={
            "/mnt/shared/config/server.properties": File(content=configuration),
            "/opt/datalab/health.sh": File(content=(FILES / "kafka-health.sh").read_text()),
        },
        # A first start may be killed: the image formats a folder without meta.properties, which is
        # renamed into place last (docker/jvm/launch, metadata/storage/Formatter.java; tried by
        # tests/layers/test_first_starts.py).
        capabilities=(),
        volumes={"kafka-data": "/var/lib/kafka/data"},
        ports=context.ports("kafka", OUTSIDE_PORT),
        stop_s=60,  # killed, it reads all its logs at the next start
        health=Health(test=("CMD", "/bin/bash", "/opt/datalab/health.sh")),
    )


COMPONENT = Kafka
