"""A Kafka topic, and a consumer group that stands at its beginning.

Kafka has no place for an owner's mark, so names are claimed in Vault first (one writer wins) and
created second. A topic that exists unclaimed is the lab's own.
"""

import time
from collections.abc import Mapping

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from provision.faults import GIVE_BACK, Fault, Refused
from provision.specs import FOR_EVER, Kafka
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
GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)
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
    _claim(existing, project, vault)
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


def _claim(existing: Mapping[str, bool], project: str, vault: Vault) -> None:
    """Both names for the project, or neither; `existing` says which are there in Kafka."""
    free = []
    for name, exists in existing.items():
        claim = vault.read(f"{CLAIMS}/{name}")
        if (claim["project"] != project) if claim else exists:
            whose = f"belongs to project {claim['project']}" if claim else "is the lab's own"
            raise Refused(f"kafka: {name} {whose}; {GIVE_BACK}")
        if claim is None:
            free.append(name)
    for number, name in enumerate(free):
        winner = vault.create(f"{CLAIMS}/{name}", {"project": project})["project"]
        if winner != project:
            for mine in free[:number]:
                vault.delete(f"{CLAIMS}/{mine}")
            raise Refused(f"kafka: {name} was just taken by project {winner}; {GIVE_BACK}")


def ensure(spec: Kafka, bootstrap: str) -> list[str]:
    """Create what is missing of topic and group. Returns what was done, and what differs."""
    admin = _admin(bootstrap)
    try:
        done = _topic(admin, spec)
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                if partitions := _partitions(admin, spec.topic):
                    return done + _group(bootstrap, spec, partitions)
                # In 1 of 75 the broker does not know yet what it has just made.
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
            except KafkaException as error:
                # A new topic has no leader, and a new group no coordinator, for a moment.
                if error.args[0].code() not in SOON or time.monotonic() > end:
                    raise
                time.sleep(0.2)
    except KafkaException as error:
        raise _fault(bootstrap, error) from error


def absent(spec: Kafka, bootstrap: str, *, data: bool) -> list[str]:
    """Delete topic and group with their data, if `data`; else say that they stay."""
    if not data:
        return [
            f"topic {spec.topic} is no longer in the settings; its messages stay until "
            "`./lab up ENV --data`, or `kafka-topics.sh --delete`"
        ]
    admin, done = _admin(bootstrap), []
    futures = {
        f"topic {spec.topic}": admin.delete_topics([spec.topic], request_timeout=TIMEOUT),
        f"group {spec.group}": admin.delete_consumer_groups([spec.group], request_timeout=TIMEOUT),
    }
    for what, found in futures.items():
        try:
            next(iter(found.values())).result()
            done.append(f"deleted {what}")
        except KafkaException as error:
            if error.args[0].code() not in GONE:
                raise _fault(bootstrap, error) from error
    return done


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
    hours = spec.retention_hours
    retention = str(hours if hours == FOR_EVER else hours * HOUR_MS)
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


def _group(bootstrap: str, spec: Kafka, partitions: int) -> list[str]:
    """Commit the beginning of each partition for which the group has no offset.

    By a consumer that never subscribes: AdminClient.list_consumer_group_offsets ends the process
    with a segmentation fault when a coordinator moves (librdkafka 2.16.1, rd_kafka_cgrp_op), which
    it does right after the first group of a new broker.
    """
    settings = {"bootstrap.servers": bootstrap, "group.id": spec.group, "log_level": 0}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    try:
        places = [TopicPartition(spec.topic, number) for number in range(partitions)]
        committed = consumer.committed(places, timeout=TIMEOUT)
        missing = [place for place in committed if place.offset < 0]
        for place in missing:
            place.offset, _ = consumer.get_watermark_offsets(place, timeout=TIMEOUT)
        if not missing:
            return []
        for place in consumer.commit(offsets=missing, asynchronous=False):
            if place.error is not None:
                raise KafkaException(place.error)
    except KafkaException as error:
        # A group with members commits by itself.
        if error.args[0].code() != KafkaError.UNKNOWN_MEMBER_ID:
            raise
        return [f"group {spec.group} is in use; its offsets were left alone"]
    finally:
        consumer.close()
    return [f"initialised group {spec.group} at the beginning of {spec.topic}"]
