"""A Kafka topic, and a consumer group that stands at its beginning.

Kafka has no place for an owner's mark, so names are claimed in Vault first (one writer wins) and
created second. A topic that exists unclaimed is the lab's own.
"""

import time

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from provision.faults import Fault, Refused
from provision.specs import Kafka
from provision.vault import Vault

ADMIN_PATH = "infra/provision/kafka"
CLAIMS = "infra/provision/claims/kafka"
TIMEOUT = 15.0
SOON = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
HOUR_MS = 3_600_000


def provision(spec: Kafka, project: str, vault: Vault) -> list[str]:
    """As `ensure`, for a project: claims both names and records the address."""
    bootstrap = vault.require(ADMIN_PATH)["bootstrap"]
    admin = _admin(bootstrap)
    try:
        groups = admin.list_consumer_groups(request_timeout=TIMEOUT).result().valid
        existing = {
            f"topics/{spec.topic}": _partitions(admin, spec.topic) is not None,
            f"groups/{spec.group}": spec.group in {group.group_id for group in groups},
        }
    except KafkaException as error:
        raise _fault(bootstrap, error) from error
    for name, exists in existing.items():
        claim = vault.read(f"{CLAIMS}/{name}")
        if (claim["project"] != project) if claim else exists:
            raise Refused(f"kafka: {name} belongs to somebody else")
    for name in existing:
        if vault.create(f"{CLAIMS}/{name}", {"project": project})["project"] != project:
            raise Refused(f"kafka: {name} was just taken by somebody else")
    done = ensure(spec, bootstrap)
    vault.write(
        f"projects/{project}/kafka/{spec.name}",
        {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "KAFKA_TOPIC": spec.topic,
            "KAFKA_GROUP": spec.group,
        },
    )
    return done


def ensure(spec: Kafka, bootstrap: str) -> list[str]:
    """Create what is missing of topic and group. Returns what was done, and what differs."""
    admin = _admin(bootstrap)
    try:
        done = _topic(admin, spec)
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                return done + _group(admin, bootstrap, spec)
            except KafkaException as error:
                # A new topic has no leader, and a new group no coordinator, for a moment.
                if error.args[0].code() not in SOON or time.monotonic() > end:
                    raise
                time.sleep(0.2)
    except KafkaException as error:
        raise _fault(bootstrap, error) from error


def _admin(bootstrap: str) -> AdminClient:
    # Without a logger the C library writes a line to stderr at each retry.
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def _fault(bootstrap: str, error: KafkaException) -> Fault:
    return Fault(f"Kafka at {bootstrap} failed: {error.args[0].str()}")


def _partitions(admin: AdminClient, topic: str) -> int | None:
    future = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT)[topic]
    try:
        return len(future.result().partitions)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise


def _topic(admin: AdminClient, spec: Kafka) -> list[str]:
    retention = str(spec.retention_hours * HOUR_MS)
    new = NewTopic(spec.topic, spec.partitions, config={"retention.ms": retention})
    try:
        admin.create_topics([new], request_timeout=TIMEOUT)[spec.topic].result()
        return [f"created topic {spec.topic}"]
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    resource = ConfigResource(ResourceType.TOPIC, spec.topic)
    config = admin.describe_configs([resource], request_timeout=TIMEOUT)[resource].result()
    found = {
        "partitions": str(_partitions(admin, spec.topic)),
        "retention.ms": config["retention.ms"].value,
    }
    wanted = {"partitions": str(spec.partitions), "retention.ms": retention}
    # Others may read this topic by now: a change is for a person to decide.
    return [
        f"differs: topic {spec.topic} has {name} {found[name]}, not {wanted[name]}; left as it is"
        for name in wanted
        if found[name] != wanted[name]
    ]


def _group(admin: AdminClient, bootstrap: str, spec: Kafka) -> list[str]:
    places = [
        TopicPartition(spec.topic, number) for number in range(_partitions(admin, spec.topic) or 1)
    ]
    asked = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(spec.group, places)], request_timeout=TIMEOUT
    )
    committed = asked[spec.group].result().topic_partitions
    missing = [place for place in committed if place.offset < 0]
    if not missing:
        return []
    start = [_beginning(bootstrap, place) for place in missing]
    altered = admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(spec.group, start)], request_timeout=TIMEOUT
    )
    try:
        altered[spec.group].result()
    except KafkaException as error:
        # A group with members commits by itself.
        if error.args[0].code() != KafkaError.UNKNOWN_MEMBER_ID:
            raise
        return [f"group {spec.group} is in use; its offsets were left alone"]
    return [f"initialised group {spec.group} at the beginning of {spec.topic}"]


def _beginning(bootstrap: str, place: TopicPartition) -> TopicPartition:
    """The first offset of a partition.

    AdminClient.list_offsets of confluent-kafka 2.16.1 crashes the process now and then while a new
    topic has no leader; a consumer that never subscribes asks the same and waits for the leader.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "-", "log_level": 0})
    try:
        first, _ = consumer.get_watermark_offsets(place, timeout=TIMEOUT)
    finally:
        consumer.close()
    return TopicPartition(place.topic, place.partition, first)
