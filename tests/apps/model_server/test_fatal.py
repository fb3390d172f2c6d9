"""An error that librdkafka calls fatal: no test can have one of Kafka, so a producer raises it."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from apps.model_server.events import KafkaEvents
from apps.model_server.refusals import NotReadyError
from tests.apps.model_server.fakes import finish, until


class Producer:
    """Takes events until it is broken, and delivers them when it is polled."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Callable[[Any, Any], None]]] = []
        self.sent: list[str] = []
        self.lost: list[str] = []
        self.broken = self.said = False
        self.polled = True
        self._lock = threading.Lock()

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Any) -> None:
        if self.broken:
            raise KafkaException(KafkaError(KafkaError._FATAL, "a sequence is lost", fatal=True))
        with self._lock:
            self.taken.append((value.decode(), on_delivery))

    def poll(self, seconds: float) -> None:
        time.sleep(0.01)
        if self.polled:
            self._serve()

    def flush(self, seconds: float) -> int:
        self._serve()
        return 0

    def _serve(self) -> None:
        if self.broken and not self.said:
            self.said = True
            raise KafkaException(KafkaError(KafkaError._FATAL, "a sequence is lost", fatal=True))
        with self._lock:
            taken, self.taken = self.taken, []
        error = KafkaError(KafkaError._PURGE_QUEUE) if self.broken else None
        for value, delivered in taken:
            (self.lost if self.broken else self.sent).append(value)
            delivered(error, _Message())

    def __len__(self) -> int:
        return len(self.taken)


class _Message:
    def topic(self) -> str:
        return "events"


@pytest.fixture
def made() -> list[Producer]:
    return []


def events(made: list[Producer]) -> KafkaEvents:
    def make(_: dict[str, Any]) -> Any:
        made.append(Producer())
        return made[-1]

    return KafkaEvents("kafka:9092", make)


def test_events_are_taken_again(made: list[Producer]) -> None:
    async def run() -> None:
        sending = events(made)
        await sending.send("events", "1", {"x": 1})
        made[0].broken = True
        with pytest.raises(NotReadyError) as refused:
            await sending.send("events", "2", {"x": 2})
        assert refused.value.retry_after == 1
        await until(lambda: len(made) == 2)
        await sending.send("events", "3", {"when": datetime(2026, 11, 30, tzinfo=UTC)})
        sending.close()

    finish(run())
    assert made[0].sent == ['{"x":1}']
    assert [json.loads(one) for one in made[1].sent] == [{"when": "2026-11-30T00:00:00Z"}]


def test_a_flush_says_that_events_were_lost(made: list[Producer]) -> None:
    """The error is given once, here to who flushes and not to the thread that polls."""
    sending = events(made)
    made[0].polled = False
    made[0].produce("events", b"{}", b"", lambda *_: None)
    made[0].broken = True
    with pytest.raises(NotReadyError, match="a sequence is lost"):
        sending.flush()
    assert (len(made), made[0].lost) == (2, ["{}"])
    sending.flush()
    sending.close()
