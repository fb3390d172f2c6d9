"""Events to Kafka: what was predicted, and what people think of it."""

import json
import logging
from typing import Any, Protocol

from confluent_kafka import KafkaError, Message, Producer

LOG = logging.getLogger("model_server")


class EventsFullError(Exception):
    """Kafka has been away for so long that no more events fit into memory."""


class Events(Protocol):
    """Where events go."""

    def send(self, topic: str, key: str, event: dict[str, Any]) -> None:
        """Hand over an event; it arrives later. EventsFullError when none can be taken."""
        ...

    def flush(self) -> None:
        """Deliver what is still on its way; EventsFullError where Kafka does not take it."""
        ...

    def close(self) -> None:
        """Deliver what can be, and end."""
        ...


class KafkaEvents:
    """Events to a broker, each exactly once and in order while this process lives."""

    def __init__(self, broker: str):
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "client.id": "model-server",
                "enable.idempotence": True,
                # A broker that restarts is back within minutes; so long they wait in memory.
                "message.timeout.ms": 300_000,
                "queue.buffering.max.messages": 10_000,
            }
        )

    def send(self, topic: str, key: str, event: dict[str, Any]) -> None:
        """See Events."""
        try:
            self._producer.produce(
                topic, json.dumps(event).encode(), key.encode(), on_delivery=_delivered
            )
        except BufferError as error:
            raise EventsFullError("Kafka does not answer, and 10,000 events wait for it") from error
        self._producer.poll(0)

    def flush(self) -> None:
        """See Events."""
        if left := self._producer.flush(10):
            raise EventsFullError(f"Kafka does not answer, and {left} events wait for it")

    def close(self) -> None:
        """See Events."""
        left = self._producer.flush(10)
        if left:
            LOG.error("%d events were lost, as Kafka did not answer", left)


def _delivered(error: KafkaError | None, message: Message) -> None:
    if error is not None:
        LOG.error("an event for %s was lost: %s", message.topic(), error.str())
