"""Kafka's side: which partitions there are, what is in them, and how far people see us."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from .batch import Partition, Record

LOG = logging.getLogger("lake_writer")
TIMEOUT_S = 10.0
# What a chunk may hold, so that parsing has enough to be worth its start and memory stays small.
CHUNK_ROWS, CHUNK_BYTES = 5_000, 1024 * 1024
GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART,)
# Names of KafkaError with an underscore are public: they are librdkafka's own errors.
MOVED = (
    *GONE,
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
)


class TopicsError(Exception):
    """Kafka does not answer, or a topic is not there."""


class PartitionsMovedError(Exception):
    """Partitions are no longer what they were: read the lake's offsets and Kafka's again."""


@dataclass
class Chunk:
    """What one look brought: messages, and positions where a partition had no more."""

    records: dict[Partition, list[Record]] = field(default_factory=dict)
    ends: dict[Partition, int] = field(default_factory=dict)


class Topics:
    """Both topics of one broker. Partitions are assigned here, not by the group's coordinator:
    the offsets in the lake decide who writes, and a rebalance has nothing to say.
    """

    def __init__(self, broker: str, groups: Mapping[str, str]):
        self._groups = groups
        common: dict[str, str | int | float | bool] = {
            "bootstrap.servers": broker,
            "client.id": "lake-writer",
            # Of a broker that is away it would say so twenty times a second.
            "log_level": 0,
        }
        self._admin = AdminClient(common)
        self._consumer = Consumer(
            {
                **common,
                "group.id": next(iter(groups.values())),
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                # Of what waits to be read, of all partitions together.
                "queued.max.messages.kbytes": 8 * 1024,
                "fetch.message.max.bytes": 1024 * 1024,
            }
        )
        self._assigned: dict[tuple[str | None, int | None], Partition] = {}

    def describe(self) -> set[Partition]:
        """The partitions that there are now; a topic that does not exist has none."""
        found = set()
        asked = self._admin.describe_topics(
            TopicCollection(list(self._groups)), request_timeout=TIMEOUT_S
        )
        for topic, answer in asked.items():
            try:
                description = answer.result(TIMEOUT_S)
            except (KafkaException, TimeoutError) as error:
                if isinstance(error, KafkaException) and error.args[0].code() in GONE:
                    continue
                raise TopicsError(f"Kafka, topic {topic}: {_reason(error)}") from error
            topic_id = str(description.topic_id)
            found |= {Partition(topic, topic_id, one.id) for one in description.partitions}
        return found

    def missing(self, partitions: set[Partition]) -> list[str]:
        """The topics that have none of these partitions."""
        return sorted(set(self._groups) - {at.topic for at in partitions})

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset that Kafka still has of each."""
        return self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The next offset that Kafka will give in each."""
        return self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def _offsets(self, partitions: Iterable[Partition], spec: OffsetSpec) -> dict[Partition, int]:
        """Asked as an administrator: a consumer would know a new partition minutes later."""
        wanted = {TopicPartition(at.topic, at.number): at for at in partitions}
        if not wanted:
            return {}
        asked = self._admin.list_offsets(
            dict.fromkeys(wanted, spec),
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=TIMEOUT_S,
        )
        found = {}
        for where, answer in asked.items():
            try:
                found[wanted[where]] = int(answer.result(TIMEOUT_S).offset)
            except (KafkaException, TimeoutError) as error:
                raise TopicsError(f"Kafka, topic {where.topic}: {_reason(error)}") from error
        return found

    def last_end(self, partition: Partition) -> int:
        """The next offset that Kafka will give, as of the last answer that came anyway."""
        where = TopicPartition(partition.topic, partition.number)
        try:
            found = self._consumer.get_watermark_offsets(where, cached=True)
        except KafkaException:
            return -1
        return -1 if found is None else int(found[1])

    def read_from(self, starts: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets on, and no others."""
        self._assigned = {(at.topic, at.number): at for at in starts}
        self._consumer.assign(
            [TopicPartition(at.topic, at.number, offset) for at, offset in starts.items()]
        )

    def take(self, seconds: float, share: float = 1) -> Chunk:
        """What comes within that time; PartitionsMovedError where an offset is not to be had.

        At most that share of the bytes that a chunk may hold, and one message more.
        """
        chunk, size, rows = Chunk(), 0, 0
        end = time.monotonic() + seconds
        while rows < CHUNK_ROWS and size < CHUNK_BYTES * share:
            message = self._consumer.poll(max(0.0, end - time.monotonic()))
            if message is None:
                break
            where = self._assigned.get((message.topic(), message.partition()))
            error = message.error()
            if error is not None:
                self._trouble(error, message, where, chunk)
            elif where is not None:
                value = message.value() or b""
                chunk.records.setdefault(where, []).append((int(message.offset() or 0), value))
                size += len(value)
                rows += 1
        return chunk

    def _trouble(
        self, error: KafkaError, message: Message, where: Partition | None, chunk: Chunk
    ) -> None:
        if error.code() == KafkaError._PARTITION_EOF and where:
            chunk.ends[where] = int(message.offset() or 0)
        elif error.code() in MOVED:
            raise PartitionsMovedError(f"topic {message.topic()}: {error.str()}")
        else:
            LOG.warning("Kafka: %s", error.str())

    def report(self, offsets: Mapping[Partition, int]) -> None:
        """Tell Kafka's groups how far the lake is, so that its tools show the lag."""
        for topic, group in self._groups.items():
            own = [
                TopicPartition(at.topic, at.number, offset)
                for at, offset in offsets.items()
                if at.topic == topic
            ]
            if not own:
                continue
            asked = self._admin.alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, own)], request_timeout=TIMEOUT_S
            )
            try:
                asked[group].result(TIMEOUT_S)
            except (KafkaException, TimeoutError) as error:
                # The next one makes up for it: what counts is in the lake.
                LOG.warning("Kafka does not take the offsets of %s: %s", group, _reason(error))

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def _reason(error: Exception) -> str:
    if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError):
        return str(error.args[0].str())
    return str(error) or type(error).__name__
