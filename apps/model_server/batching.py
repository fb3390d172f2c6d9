"""Inference in threads: what waits while a model computes is computed together next."""

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .predictor import Predictor, Record
from .refusals import BusyError, InputError

# Requests of so many rows gain nothing by company.
SMALL_ROWS = 32
MOST_ROWS = 512
MOST_WAITING = 256


class Inference:
    """The threads that models compute in, and how many requests may wait for them."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(os.cpu_count() or 1, "inference")
        self._waiting = 0

    def enter(self) -> None:
        """Take a place in the queue; BusyError where it is full."""
        if self._waiting >= MOST_WAITING:
            raise BusyError(f"{MOST_WAITING} requests wait already")
        self._waiting += 1

    def leave(self) -> None:
        """Give the place back."""
        self._waiting -= 1

    def close(self) -> None:
        """Compute nothing more."""
        self.threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Asked:
    rows: Sequence[Record]
    shape: object
    answer: asyncio.Future[list[Any]]


class Batches:
    """The requests of one model."""

    def __init__(self, predictor: Predictor, inference: Inference):
        self._predictor = predictor
        self._inference = inference
        self._queue: deque[_Asked] = deque()
        self._runner: asyncio.Task[None] | None = None

    async def predict(self, rows: Sequence[Record]) -> list[Any]:
        """One output for each row; InputError, BusyError."""
        self._inference.enter()
        try:
            if len(rows) > SMALL_ROWS or not self._predictor.row_by_row:
                return await self._run([rows])
            loop = asyncio.get_running_loop()
            asked = _Asked(rows, _shape(rows), loop.create_future())
            self._queue.append(asked)
            if self._runner is None:
                self._runner = asyncio.create_task(self._work())
            return await asked.answer
        finally:
            self._inference.leave()

    async def _run(self, parts: Sequence[Sequence[Record]]) -> list[Any]:
        rows = parts[0] if len(parts) == 1 else [row for part in parts for row in part]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._inference.threads, self._predictor.predict, rows)

    async def _work(self) -> None:
        try:
            while self._queue:
                batch = self._take()
                if batch:
                    await self._answer(batch)
        finally:
            self._runner = None

    def _take(self) -> list[_Asked]:
        """The oldest request, and those of its shape that fit; the others keep their order."""
        batch: list[_Asked] = []
        others: list[_Asked] = []
        rows = 0
        while self._queue and rows < MOST_ROWS:
            asked = self._queue.popleft()
            if asked.answer.done():
                continue  # the client has left
            if batch and asked.shape != batch[0].shape:
                others.append(asked)
                continue
            batch.append(asked)
            rows += len(asked.rows)
        self._queue.extendleft(reversed(others))
        return batch

    async def _answer(self, batch: list[_Asked]) -> None:
        try:
            outputs = await self._run([asked.rows for asked in batch])
            if len(outputs) != sum(len(asked.rows) for asked in batch):
                raise InputError("the model gives another number of outputs than rows")
        except Exception as error:
            if len(batch) == 1:
                if not batch[0].answer.done():
                    batch[0].answer.set_exception(error)
                return
            # Each by itself: the fault of one is not that of the others.
            for asked in batch:
                await self._answer([asked])
            return
        start = 0
        for asked in batch:
            end = start + len(asked.rows)
            if not asked.answer.done():
                asked.answer.set_result(outputs[start:end])
            start = end


def _shape(rows: Sequence[Record]) -> object:
    """What requests must have in common to be one table: columns, their order and their types."""
    return frozenset(tuple((name, type(value)) for name, value in row.items()) for row in rows)
