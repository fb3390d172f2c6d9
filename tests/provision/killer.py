"""Run `provision` and end it with SIGKILL right before its Nth call to a server.

    python -m tests.provision.killer N COMMAND...

The calls are counted where the libraries make them, so that provision itself has no test hooks.
Right before the Nth call is right after the one before it: every crash point is met.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import requests
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from provision import kafka
from provision.__main__ import main

left = int(sys.argv[1])


def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, or the end of this process."""

    def wrapper(*args: Any, **options: Any) -> Any:
        global left  # noqa: PLW0603  # one count for all libraries
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    return wrapper


psycopg.Connection.execute = deadly(psycopg.Connection.execute)  # type: ignore[method-assign]
requests.Session.send = deadly(requests.Session.send)  # type: ignore[method-assign]
for name in ("create_topics", "describe_topics"):
    setattr(AdminClient, name, deadly(getattr(AdminClient, name)))


class DeadlyConsumer(Consumer):
    """Consumer is a type of C, whose methods cannot be replaced."""

    committed = deadly(Consumer.committed)
    commit = deadly(Consumer.commit)


vars(kafka)["Consumer"] = DeadlyConsumer

sys.exit(main(sys.argv[2:]))
