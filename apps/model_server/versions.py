"""What aliases point to: asked once, refreshed in the background, the last known kept."""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from .policy import NEWEST, Policy
from .refusals import BusyError, ModelNotFoundError, NotReadyError, RefusedError
from .registry import Facts, Mlflow

LOG = logging.getLogger("model_server")
# A name that MLflow did not know, or an alias, is asked for again after so long.
ASK_AGAIN_S = 5.0
# All that are known are asked for again and again.
MOST_KNOWN, MOST_ASKED = 100, 1000


class Versions:
    """Versions of models by number, alias or `latest`."""

    def __init__(self, mlflow: Mlflow, policy: Policy, folder: Path):
        self._mlflow = mlflow
        self._policy = policy
        self._file = folder / "aliases.json"
        self._known: OrderedDict[str, Facts] = OrderedDict(self._read())
        self._asked: OrderedDict[str, tuple[float, RefusedError | None]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[None]] = {}
        # Served once, served as long as it is loaded: of these nobody is asked again.
        self._served: set[tuple[str, str]] = set()

    async def resolve(self, name: str, asked: str) -> str:
        """The number of the version that was asked for; ModelNotFoundError, NotReadyError."""
        if asked.isdecimal() and (
            (name, asked) in self._served or self._policy.needs_no_facts(name, asked)
        ):
            return asked
        version = self._look(name, asked)
        if version is None:
            await self._ask(name)
            version = self._look(name, asked)
        if version is None:
            raise ModelNotFoundError(self._why_not(name, asked))
        self._served.add((name, version))
        return version

    def forget(self, name: str, version: str) -> None:
        """That a version is no longer loaded."""
        self._served.discard((name, version))

    def _look(self, name: str, asked: str) -> str | None:
        facts = self._known.get(name)
        if facts is None:
            return None
        self._known.move_to_end(name)
        version = self._number(facts, asked)
        if version is not None and self._policy.serves(name, version, facts):
            return version
        return None

    @staticmethod
    def _number(facts: Facts, asked: str) -> str | None:
        if asked.isdecimal():
            return asked
        return facts.newest if asked == NEWEST else facts.aliases.get(asked)

    def _why_not(self, name: str, asked: str) -> str:
        facts = self._known[name]
        version = self._number(facts, asked)
        if version is None or (version.isdecimal() and int(version) > int(facts.newest)):
            return f"model {name} has no version {asked}"
        return (
            f"model {name} version {version} is not served: name it in apps.model_server.models, "
            "or give it one of the aliases of apps.model_server.aliases"
        )

    async def _ask(self, name: str) -> None:
        """Ask MLflow, once for all who want to know, and not again for some seconds."""
        at, refused = self._asked.get(name, (float("-inf"), None))
        if time.monotonic() - at < ASK_AGAIN_S:
            if refused is not None:
                raise refused
            return
        task = self._asking.get(name)
        if task is None:
            task = asyncio.create_task(self._fetch(name))
            self._asking[name] = task
            task.add_done_callback(lambda done: self._done(name, done))
        # A client that leaves must not end the question of the others.
        await asyncio.shield(task)

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        del self._asking[name]
        # Looked at, as all who asked may have left.
        if not task.cancelled():
            task.exception()

    async def _fetch(self, name: str) -> None:
        try:
            facts = await self._mlflow.facts(name)
        except ModelNotFoundError as error:
            self._known.pop(name, None)
            self._note(name, error)
            raise
        changed = self._known.get(name) != facts
        self._known[name] = facts
        self._note(name, None)
        if changed:
            await asyncio.to_thread(self._write, dict(self._known))

    def _note(self, name: str, refused: RefusedError | None) -> None:
        self._asked[name] = (time.monotonic(), refused)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        while len(self._asked) > MOST_ASKED:
            self._asked.popitem(last=False)

    async def refresh(self) -> None:
        """Ask again what is known; what MLflow does not answer stays as it was."""
        try:
            await self._mlflow.check()
            for name in list(self._known):
                try:
                    await self._fetch(name)
                except ModelNotFoundError as error:
                    LOG.info("%s", error)
        except (NotReadyError, BusyError) as error:
            LOG.info("%s", error)

    def _read(self) -> dict[str, Facts]:
        try:
            kept = json.loads(self._file.read_text())
            return {name: Facts(one["newest"], one["aliases"]) for name, one in kept.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            LOG.warning("%s cannot be read: %s", self._file, error)
            return {}

    def _write(self, known: dict[str, Facts]) -> None:
        text = json.dumps({name: vars(facts) for name, facts in known.items()})
        part = self._file.with_suffix(".part")
        try:
            part.write_text(text)
            part.replace(self._file)
        except OSError as error:  # a full disk: it is only a cache
            LOG.warning("%s cannot be written: %s", self._file, error)
            with suppress(OSError):
                part.unlink()
