"""The models in memory: each loaded once, in the background, within a limit of memory."""

import asyncio
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .batching import Batches, Inference
from .predictor import MissingPackageError, Opener, Predictor
from .refusals import BusyError, NotReadyError, RefusedError
from .registry import Mlflow

LOG = logging.getLogger("model_server")
Key = tuple[str, str]

# A request waits so long for its model; the loading goes on.
LOAD_WAIT_S = 20.0
# What could not be loaded is tried again after so long.
TRY_AGAIN_S = 30.0
MOST_LOADING = 8
MOST_FAILED = 1000
# Downloaded models that stay on the volume.
MOST_FOLDERS = 16
PART = ".part"
MIB = 1024 * 1024


@dataclass
class Loaded:
    """A model in memory."""

    name: str
    version: str
    batches: Batches
    mib: float
    used: float = field(default_factory=time.monotonic)


class Shelf:
    """Loaded models by name and version."""

    def __init__(
        self,
        mlflow: Mlflow,
        inference: Inference,
        opener: Opener,
        folder: Path,
        *,
        limit_mib: float,
        forgotten: Callable[[str, str], None] = lambda _name, _version: None,
    ):
        self._mlflow = mlflow
        self._inference = inference
        self._opener = opener
        self._folder = folder / "models"
        self._limit = limit_mib
        self._forgotten = forgotten
        self._loaded: dict[Key, Loaded] = {}
        self._loading: dict[Key, asyncio.Task[Loaded]] = {}
        self._failed: dict[Key, tuple[float, RefusedError]] = {}
        self._owners: dict[Hashable, Key] = {}
        self._threads = ThreadPoolExecutor(1, "loading")
        self._measuring = threading.Lock()

    async def prepare(self) -> None:
        """See Opener; in the thread that loads models, and before all of them."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._opener.prepare)

    def ready(self, key: Key) -> bool:
        """Whether it is in memory."""
        return key in self._loaded

    def keep(self, owner: Hashable, key: Key) -> None:
        """Never give up this model for others, until its owner wants another one kept."""
        self._owners[owner] = key

    async def get(self, key: Key) -> Loaded:
        """The model, loaded now if need be; NotReadyError with the reason where it is not."""
        model = self._loaded.get(key)
        if model is None:
            waiting = asyncio.shield(self.begin(key))
            try:
                model = await asyncio.wait_for(waiting, LOAD_WAIT_S)
            except TimeoutError:
                said = f"model {key[0]} version {key[1]} is being loaded"
                raise NotReadyError(said, retry_after=5) from None
        model.used = time.monotonic()
        return model

    def begin(self, key: Key) -> asyncio.Task[Loaded]:
        """Load a model in the background."""
        task = self._loading.get(key)
        if task is not None:
            return task
        at, refused = self._failed.get(key, (0.0, None))
        if refused is not None and time.monotonic() - at < TRY_AGAIN_S:
            raise refused
        if len(self._loading) >= MOST_LOADING:
            raise BusyError("too many models are being loaded", retry_after=5)
        task = asyncio.create_task(self._load(key))
        self._loading[key] = task
        task.add_done_callback(lambda done: self._done(key, done))
        return task

    def _done(self, key: Key, task: asyncio.Task[Loaded]) -> None:
        del self._loading[key]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            LOG.warning("%s", error)

    async def _load(self, key: Key) -> Loaded:
        try:
            model = await self._from_files(key, await self._files(key))
        except OSError as error:  # a full volume
            raise NotReadyError(f"model {key[0]} version {key[1]}: {error}", 30) from error
        except RefusedError as error:
            # MLflow that is away is known elsewhere, and asked again when it is back.
            if error.retry_after is None:
                self._failed[key] = (time.monotonic(), error)
            while len(self._failed) > MOST_FAILED:
                self._failed.pop(next(iter(self._failed)))
            raise
        self._failed.pop(key, None)
        self._loaded[key] = model
        self._make_room(0, spare=key)
        LOG.info("model %s version %s is loaded: %.0f MiB", *key, model.mib)
        return model

    async def _files(self, key: Key) -> Path:
        name, version = key
        folder = self._folder / _folder_name(key)
        if not folder.exists():
            part = folder.with_name(f"{folder.name}{PART}")
            await asyncio.to_thread(_empty, part)
            try:
                await self._mlflow.download(name, version, part)
                await asyncio.to_thread(part.rename, folder)
            except BaseException:
                await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
                raise
            await asyncio.to_thread(self._prune)
        folder.touch()
        return folder

    async def _from_files(self, key: Key, folder: Path) -> Loaded:
        what = f"model {key[0]} version {key[1]}"
        loop = asyncio.get_running_loop()
        on_disk = await asyncio.to_thread(_size_mib, folder)
        if not self._make_room(on_disk):
            raise NotReadyError(
                f"{what} has {on_disk:.0f} MiB, and models may have {self._limit:.0f} with those "
                "that the settings keep: raise apps.model_server.container.memory_mib"
            )
        try:
            predictor, grown = await loop.run_in_executor(self._threads, self._opened, folder)
        except MissingPackageError as error:
            raise NotReadyError(
                f"{what} needs the package {error}, which this server does not have"
            ) from error
        except Exception as error:
            # It may be the files: they are fetched again next time.
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            LOG.exception("%s", what)
            raise NotReadyError(f"{what} cannot be loaded: {error}") from error
        batches = Batches(predictor, self._inference)
        return Loaded(key[0], key[1], batches, max(on_disk, grown))

    def _opened(self, folder: Path) -> tuple[Predictor, float]:
        """A model, and by how many MiB this process grew; one at a time, so that it is its own."""
        with self._measuring:
            before = _resident_mib()
            return self._opener.open(folder), _resident_mib() - before

    def _make_room(self, mib: float, spare: Key | None = None) -> bool:
        """Give models up until there is room, those of the settings and `spare` never."""
        kept = {*self._owners.values(), spare}
        if sum(model.mib for key, model in self._loaded.items() if key in kept) + mib > self._limit:
            return False
        while sum(model.mib for model in self._loaded.values()) + mib > self._limit:
            idle = [key for key in self._loaded if key not in kept]
            oldest = min(idle, key=lambda key: self._loaded[key].used)
            del self._loaded[oldest]
            self._forgotten(*oldest)
            LOG.info("model %s version %s made room for others", *oldest)
        return True

    def _prune(self) -> None:
        """Of the downloaded models keep those that were used last, and all that are in memory."""
        used = {
            _folder_name(key) for key in (*self._loaded, *self._loading, *self._owners.values())
        }
        folders = [one for one in self._folder.iterdir() if one.suffix != PART]
        folders.sort(key=lambda one: one.stat().st_mtime, reverse=True)
        for folder in folders[MOST_FOLDERS:]:
            if folder.name not in used:
                shutil.rmtree(folder, ignore_errors=True)

    def states(self) -> list[dict[str, object]]:
        """Each model and how it is."""
        rows: list[dict[str, object]] = [
            {
                "name": model.name,
                "version": model.version,
                "status": "ready",
                "memory_mib": round(model.mib, 1),
            }
            for model in self._loaded.values()
        ]
        rows += [
            {"name": name, "version": version, "status": "failed", "error": str(error)}
            for (name, version), (_, error) in self._failed.items()
            if (name, version) not in self._loading and error.status == 503
        ]
        rows += [
            {"name": name, "version": version, "status": "loading"}
            for name, version in self._loading
        ]
        return rows

    def close(self) -> None:
        """Load nothing more."""
        for task in self._loading.values():
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _folder_name(key: Key) -> str:
    # A model's name may be longer than a folder's.
    return f"{hashlib.sha256(key[0].encode()).hexdigest()[:16]}-{key[1]}"


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _size_mib(folder: Path) -> float:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file()) / MIB


def _resident_mib() -> float:
    """What this process has of the memory, as Linux counts it (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB
