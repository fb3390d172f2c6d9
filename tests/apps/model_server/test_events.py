"""Events reach a real Kafka before an answer is given, and wait while it is away."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic

from apps.model_server.events import KafkaEvents
from apps.model_server.refusals import TooLargeError
from tests.apps.model_server.fakes import finish, until
from tests.harness.kafka import broker, prepare

pytestmark = pytest.mark.service


def keys(address: str, number: int) -> list[str]:
    consumer = Consumer(
        {"bootstrap.servers": address, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["events"])
    try:
        found: list[str] = []
        while len(found) < number and (message := consumer.poll(30)) is not None:
            found.append((message.key() or b"").decode())
            assert json.loads(message.value() or b"") == {"x": found[-1]}
        return found
    finally:
        consumer.close()


def test_events_are_in_kafka_when_sent_and_wait_for_it_when_it_is_away(tmp_path: Path) -> None:
    address = prepare(tmp_path)

    async def send(events: KafkaEvents, key: str) -> float:
        began = time.monotonic()
        await events.send("events", key, {"x": key})
        return time.monotonic() - began

    async def run() -> None:
        with broker(tmp_path, address):
            admin = AdminClient({"bootstrap.servers": address})
            admin.create_topics([NewTopic("events", 1)])["events"].result(30)
            events = KafkaEvents(address)
            await send(events, "0")
            await until(lambda: events.problem == "")  # a broker's first answers take seconds
            await asyncio.gather(*(send(events, str(number)) for number in range(1, 20)))
            assert events.problem == ""
            with pytest.raises(TooLargeError, match="log_to_lakehouse false"):
                await events.send("events", "large", {"x": "y" * 2_000_000})
        # An answer waits once for a Kafka that has gone, and then no more.
        await send(events, "20")
        assert [await send(events, str(number)) < 0.2 for number in range(21, 40)] == [True] * 19
        await asyncio.to_thread(events.check)
        assert events.problem
        with broker(tmp_path, address):
            await asyncio.to_thread(events.flush)
            await asyncio.to_thread(events.check)
            assert events.problem == ""
            assert await send(events, "40") < 1
            assert keys(address, 41) == [str(number) for number in range(41)]
            await asyncio.to_thread(events.close)

    finish(run())
