"""Events to Kafka: what was predicted, and what people think of it."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from pydantic_core import to_jsonable_python

from .refusals import NotReadyError, TooLargeError

LOG = logging.getLogger("model_server")
MOST_EVENTS, MOST_KIB = 10_000, 32 * 1024
# So long an answer waits for Kafka to have its event; then it is given, and the event waits alone.
WAIT_S = 2.0


class EventsFullError(NotReadyError):
    """Kafka has been away for so long that no more events fit into memory."""

    retry_after = 5


class Events(Protocol):
    """Where events go."""

    problem: str

    async def send(self, topic: str, key: str, event: dict[str, Any]) -> None:
        """Return once Kafka has the event; while it is away once it waits in memory.

        EventsFullError when none can be taken, TooLargeError when Kafka takes none so large.
        """
        ...

    def check(self) -> None:
        """Find out whether Kafka answers; see problem."""
        ...

    def flush(self) -> None:
        """Deliver what is still on its way; EventsFullError where Kafka does not take it."""
        ...

    def close(self) -> None:
        """Deliver what can be, and end."""
        ...


class KafkaEvents:
    """Events to a broker, each exactly once and in order while this process lives.

    make is what makes a producer of librdkafka's settings.
    """

    def __init__(self, broker: str, make: Callable[[dict[str, Any]], Producer] = Producer):
        self.problem = ""
        self._make = make
        self._settings: dict[str, Any] = {
            "bootstrap.servers": broker,
            "client.id": "model-server",
            "enable.idempotence": True,
            # A broker that restarts is back within minutes; so long they wait in memory.
            "message.timeout.ms": 300_000,
            "queue.buffering.max.messages": MOST_EVENTS,
            "queue.buffering.max.kbytes": MOST_KIB,
            "linger.ms": 1,
            "error_cb": self._failed,
            # It says of each attempt, many a second, that Kafka is away; _is says it once.
            "log_level": 0,
            "reconnect.backoff.max.ms": 1000,
        }
        self._producer = make(self._settings)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka", daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while not self._closed.is_set():
            producer = self._producer
            try:
                producer.poll(0.2)
            except KafkaException as error:
                self._replace(producer, error)

    def _replace(self, producer: Producer, error: KafkaException) -> None:
        """After an error that librdkafka calls fatal a producer takes nothing more.

        Whatever waits for such a producer raises it (error_cb in confluent_kafka.c), once.
        """
        LOG.error("the connection to Kafka is made again: %s", error.args[0].str())
        self._producer = self._make(self._settings)
        producer.flush(10)  # says of each event that it still had that it is lost

    def _failed(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._is(error.str())

    def _is(self, problem: str) -> None:
        if bool(problem) != bool(self.problem):
            LOG.warning("Kafka %s", f"is away: {problem}" if problem else "answers again")
        self.problem = problem

    async def send(self, topic: str, key: str, event: dict[str, Any]) -> None:
        """See Events."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[str] = loop.create_future()

        def settle(lost: str) -> None:
            if not arrived.done():
                arrived.set_result(lost)

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self._is("")
            else:
                self._is(error.str())
                LOG.error("an event for %s was lost: %s", message.topic(), error.str())
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, "" if error is None else error.str())

        # What JSON has no word for, such as a date that a model gives, is as in the answer.
        text = json.dumps(event, separators=(",", ":"), default=to_jsonable_python)
        value = text.encode()
        try:
            self._producer.produce(topic, value, key.encode(), on_delivery=delivered)
        except BufferError as error:
            raise EventsFullError(
                f"Kafka does not answer, and {len(self._producer)} events wait for it"
            ) from error
        except KafkaException as error:
            if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise NotReadyError(f"Kafka does not take the event: {error}", 1) from error
            raise TooLargeError(
                f"{len(value)} bytes are more than Kafka takes of one event: send fewer rows, or "
                "log_to_lakehouse false"
            ) from error
        if not self.problem:
            try:
                lost = await asyncio.wait_for(arrived, WAIT_S)
            except TimeoutError:
                self._is(f"Kafka has not answered for {WAIT_S:g} s")
            else:
                if lost:
                    raise NotReadyError(f"Kafka does not take the event: {lost}")

    def check(self) -> None:
        """See Events."""
        try:
            self._producer.list_topics(timeout=2)
        except KafkaException as error:
            self._is(error.args[0].str())
        else:
            if not len(self._producer):
                self._is("")

    def flush(self) -> None:
        """See Events."""
        producer = self._producer
        try:
            left = producer.flush(10)
        except KafkaException as error:
            self._replace(producer, error)
            raise NotReadyError(f"events were lost: {error.args[0].str()}") from error
        if left:
            raise EventsFullError(f"Kafka does not answer, and {left} events wait for it")

    def close(self) -> None:
        """See Events."""
        try:
            self.flush()
        except NotReadyError as error:
            LOG.error("events were lost: %s", error)
        self._closed.set()
        self._thread.join()
