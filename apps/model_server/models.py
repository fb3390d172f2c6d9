"""Models as requests ask for them: by name and version, whichever is in memory."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from .batching import Inference
from .policy import NEWEST, Policy, Wanted
from .predictor import Opener, Record
from .refusals import RefusedError
from .registry import Mlflow, Registry
from .settings import Settings
from .shelf import Shelf
from .versions import Versions

LOG = logging.getLogger("model_server")
# So old an alias may be that was moved.
REFRESH_S = 15.0
MOST_NAMES = 1000


class Models:
    """All models that may be asked."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        opener: Opener,
        refresh: float = REFRESH_S,
    ):
        folder = settings.models_folder
        (folder / "models").mkdir(parents=True, exist_ok=True)
        self._wanted = settings.wanted
        self._refresh = refresh
        self.mlflow = Mlflow(registry)
        self._inference = Inference()
        policy = Policy(self._wanted, settings.model_aliases, settings.any_model)
        self._versions = Versions(self.mlflow, policy, folder)
        self._shelf = Shelf(
            self.mlflow,
            self._inference,
            opener,
            folder,
            limit_mib=settings.models_memory_mib,
            forgotten=self._versions.forget,
        )
        # What an alias was last answered with: it answers until what it points to now is loaded.
        self._current: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def predict(self, name: str, asked: str, rows: Sequence[Record]) -> tuple[str, list[Any]]:
        """The version's number and one output for each row; RefusedError."""
        version = await self._versions.resolve(name, asked)
        if not asked.isdecimal():
            version = self._loaded_one(name, asked, version)
        model = await self._shelf.get((name, version))
        if not asked.isdecimal():
            self._current[name, asked] = version
            if len(self._current) > MOST_NAMES:
                self._current.popitem(last=False)
        return version, await model.batches.predict(rows)

    def _loaded_one(self, name: str, asked: str, version: str) -> str:
        """The version, or the one before it while it is being loaded or cannot be."""
        before = self._current.get((name, asked), version)
        if self._shelf.ready((name, version)) or not self._shelf.ready((name, before)):
            return version
        try:
            self._shelf.begin((name, version))
        except RefusedError as error:
            LOG.warning("%s@%s stays at version %s: %s", name, asked, before, error)
        return before

    async def run(self) -> None:
        """Load what the settings name, and keep what aliases point to up to date, for ever."""
        await self._shelf.prepare()
        # First what is on the volume: MLflow may take its time.
        await self._preload()
        while True:
            try:
                await self._versions.refresh()
                await self._preload()
            except Exception:
                LOG.exception("what aliases point to could not be refreshed")
            await asyncio.sleep(self._refresh)

    async def _preload(self) -> None:
        for wanted in self._wanted:
            await self._preload_one(wanted)

    async def _preload_one(self, wanted: Wanted) -> None:
        name, asked = wanted.name, wanted.version or NEWEST
        try:
            version = await self._versions.resolve(name, asked)
            self._shelf.keep(wanted, (name, version))
            await self._shelf.get((name, version))
            self._current[name, asked] = version
        except RefusedError as error:
            LOG.warning("model %s %s is not loaded yet: %s", name, asked, error)

    def states(self) -> list[dict[str, Any]]:
        """Each model and how it is."""
        return self._shelf.states()

    def close(self) -> None:
        """End its threads."""
        self._shelf.close()
        self._inference.close()
        self.mlflow.close()
