"""The broker's configuration, its topics, and its health check against a real broker."""

import base64
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from layers.services.kafka import cluster_id, provision
from provision import specs
from settings.images import PATH
from settings.services.kafka import Topic
from tests.harness.kafka import java
from tests.harness.process import clean_environment, free_port, listens, server
from tests.layers.containers import container, files, published, variables, world

ROOT = PATH.parent
HEALTH = ROOT / "layers/services/files/kafka-health.sh"
CONFIG = "/mnt/shared/config/server.properties"
Properties = dict[str, str]


def properties(variant: str) -> Properties:
    text = files(container(world(variant)["services"], "kafka"))[CONFIG]["content"]
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.slow
def test_clients_are_sent_on_to_where_they_can_reach_the_broker() -> None:
    assert properties("dev")["advertised.listeners"] == (
        "INSIDE://kafka:29092,OUTSIDE://127.0.0.1:9092"
    )
    assert properties("lab")["advertised.listeners"] == (
        "INSIDE://kafka:29092,OUTSIDE://192.168.1.202:9092"
    )
    for variant in ("dev", "lab"):
        assert published(container(world(variant)["services"], "kafka")) == {9092: 9092}


def test_one_broker_asks_for_no_second_copy() -> None:
    found = properties("dev")
    copies = {key: value for key, value in found.items() if key.endswith(("factor", "min.isr"))}
    assert len(copies) >= 6
    assert set(copies.values()) == {"1"}
    assert found["auto.create.topics.enable"] == "false"


def test_data_is_on_the_volume() -> None:
    inputs = container(world("dev")["services"], "kafka")
    assert {v["containerPath"] for v in inputs["volumes"]} == {properties("dev")["log.dirs"]}


def test_the_cluster_has_an_id_of_its_own_that_no_tool_takes_for_an_option() -> None:
    made = cluster_id("ff" * 15)
    assert re.fullmatch(r"A[A-Za-z0-9_-]{21}", made)
    assert len(base64.urlsafe_b64decode(made + "==")) == 16
    inputs = container(world("dev")["services"], "kafka")
    assert len(variables(inputs)["CLUSTER_ID"]) == 22


def test_the_heap_leaves_room_in_the_container() -> None:
    inputs = container(world("dev")["services"], "kafka")
    assert variables(inputs)["KAFKA_HEAP_OPTS"] == "-Xms384m -Xmx384m -XX:ActiveProcessorCount=4"
    assert inputs["memory"] == 768


def test_each_topic_is_made_by_provision_once_the_broker_is_healthy() -> None:
    every = world("dev")["services"].all("command:local:Command")
    commands = {c.name: c for c in every if c.name.endswith("-topic")}
    assert set(commands) == {"ml_inference_results-topic", "ml_inference_feedback-topic"}
    words = shlex.split(commands["ml_inference_results-topic"].inputs["create"])
    assert words[:4] == [".venv/bin/python", "-m", "provision", "kafka"]
    assert words[words.index("--group") + 1] == "lakehouse-inference-result-consumer"
    # A path of one machine would be a change on every other.
    assert not any(word.startswith("/") for word in words)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A broker on the lab's own configuration, with this test's ports and folder; the port."""
    folder = tmp_path_factory.mktemp("kafka")
    inside, outside, controller = free_port(), free_port(), free_port()
    text = files(container(world("dev")["services"], "kafka"))[CONFIG]["content"]
    for before, after in (
        ("INSIDE://:29092", f"INSIDE://127.0.0.1:{inside}"),
        ("OUTSIDE://:9092", f"OUTSIDE://127.0.0.1:{outside}"),
        ("INSIDE://kafka:29092", f"INSIDE://127.0.0.1:{inside}"),
        ("OUTSIDE://127.0.0.1:9092", f"OUTSIDE://127.0.0.1:{outside}"),
        ("localhost:9093", f"127.0.0.1:{controller}"),
        ("/var/lib/kafka/data", str(folder / "data")),
    ):
        assert before in text
        text = text.replace(before, after)
    settings = folder / "server.properties"
    settings.write_text(text)
    identity = cluster_id("0f" * 15)
    subprocess.run(
        [*java(), "kafka.tools.StorageTool", "format", "-t", identity, "-c", settings],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    with server(
        [*java("384m"), "kafka.Kafka", settings],
        lambda: listens(inside),
        folder / "log",
        cwd=folder,
    ):
        yield inside


def healthy(port: int) -> bool:
    done = subprocess.run(["bash", HEALTH, str(port)], capture_output=True, check=False, timeout=30)
    return done.returncode == 0


@pytest.mark.service
def test_health_check_tells_a_broker_from_none_and_from_another_server(
    broker: int, tmp_path: Path
) -> None:
    assert healthy(broker)
    assert not healthy(free_port())
    port = free_port()
    other = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with server(other, lambda: listens(port), tmp_path / "log", cwd=tmp_path):
        assert not healthy(port)


# The longest names are of a folder on the disk too, NAME-PARTITION.
@pytest.mark.service
@pytest.mark.parametrize(
    ("name", "group", "partitions"),
    [("results", "readers", 3), ("t" * 249, "g" * 249, specs.PARTITIONS[1])],
    ids=["usual", "longest"],
)
def test_the_layers_own_command_makes_topic_and_group_twice(
    broker: int, name: str, group: str, partitions: int
) -> None:
    address = f"127.0.0.1:{broker}"
    wanted = Topic(partitions=partitions, retention_hours=2, group=group)
    command = provision(address, name, wanted)
    for _ in range(2):
        subprocess.run(
            ["sh", "-c", command], cwd=ROOT, env=clean_environment(), check=True, timeout=120
        )
    admin = AdminClient({"bootstrap.servers": address})
    topics: Any = admin.list_topics(timeout=10).topics
    assert len(topics[name].partitions) == partitions
    resource = ConfigResource(ResourceType.TOPIC, name)
    config = admin.describe_configs([resource])[resource].result()
    assert config["retention.ms"].value == str(2 * 3_600_000)
    groups = {group.group_id for group in admin.list_consumer_groups().result().valid}
    assert group in groups
