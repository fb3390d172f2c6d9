"""Kafka's settings and declaration."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from provision import specs
from settings.base import Container, Model, Port, Switched, dotted
from settings.defaults import ByTarget, always
from settings.sections import Fault
from settings.service import Listener, Service

# In 256 MiB, the least heap, Kafka 4.0 made a thousand partitions in 8 to 10 s up to 3,000, and not
# the fourth thousand in 100 s (measured).
MOST_TOPICS, MOST_PARTITIONS = 200, 2000
# What `provision` takes, as it makes the topics.
TopicName = Annotated[str, Field(pattern=specs.KAFKA_NAME, examples=["ml_results"])]


def _retention(hours: int) -> int:
    if hours == 0:
        raise ValueError("0 keeps nothing; give it hours, or -1 for ever")
    return hours


# Metaspace, code cache, thread stacks and network buffers come on top of the JVM's heap.
HEAP_SHARE = 0.75


class Topic(Model):
    """A Kafka topic and the consumer group that reads it."""

    partitions: int = Field(
        default=1,
        ge=specs.PARTITIONS[0],
        le=specs.PARTITIONS[1],
        description="Partitions; Kafka can add some, never remove one",
    )
    # An hour is the least that a consumer can catch up; -1 is Kafka's own word (retention.ms).
    retention_hours: Annotated[int, AfterValidator(_retention)] = Field(
        default=168,
        ge=specs.FOR_EVER,
        le=specs.RETENTION_HOURS[1],
        description="How long a message is kept; -1 is for ever",
    )
    group: TopicName = Field(description="The consumer group that reads it")


# Between the model server and the lakehouse.
TOPICS = {
    "ml_inference_results": {"group": "lakehouse-inference-result-consumer"},
    "ml_inference_feedback": {"group": "lakehouse-inference-feedback-consumer"},
}


class Kafka(Switched):
    """One Kafka broker in KRaft mode."""

    port: Port = Field(default=9092, description="The listener for clients outside the network")
    heap_mib: Annotated[int, ByTarget(docker=384)] = Field(
        default=512, ge=256, le=32_768, description="Heap of the JVM"
    )
    topics: Annotated[dict[TopicName, Topic], always(TOPICS)] = Field(
        max_length=MOST_TOPICS, description="The topics, by name"
    )
    container: Annotated[
        Container, ByTarget(docker={"memory_mib": 768}, proxmox={"memory_mib": 1024})
    ]


def limits(kafka: Kafka) -> Iterator[Fault]:
    """Kafka has the memory for its heap and not too many partitions; its names do not collide."""
    most = int(kafka.container.memory_mib * HEAP_SHARE)
    if kafka.heap_mib > most:
        text = f"{kafka.heap_mib} is above {most}, three quarters of container.memory_mib; lower it"
        yield "services.kafka.heap_mib", text
    together = sum(topic.partitions for topic in kafka.topics.values())
    if together > MOST_PARTITIONS:
        text = f"have {together} partitions together; one broker has {MOST_PARTITIONS} at most"
        yield "services.kafka.topics", text
    plain: dict[str, str] = {}
    groups: dict[str, str] = {}
    for name, topic in kafka.topics.items():
        at = dotted(("services", "kafka", "topics", name))
        # Both become the same name of a metric, so Kafka refuses the second.
        other = plain.setdefault(name.replace(".", "_"), name)
        if other != name:
            yield at, f"Kafka takes it for {other}: `.` and `_` are one"
        other = groups.setdefault(topic.group, name)
        if other != name:
            yield f"{at}.group", f"{topic.group} already reads {other}; use another"


SERVICE = Service(
    key="services.kafka",
    settings=Kafka,
    order=20,
    listeners=(Listener(name="kafka", scheme="kafka", exposure="docker", inner_port=29092),),
    rules=(limits,),
)
