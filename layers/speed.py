"""What makes every preview of a layer shorter; its figures are in docs/performance.md."""

import asyncio
import atexit
import functools
import gc
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import pulumi
from pulumi.runtime import resource
from pulumi.runtime.proto import source_pb2


def speed_up(*, debug: bool = False) -> None:
    """Spare the program costs of the SDK; to be called before anything else is imported.

    The SDK sends the engine four debug lines for each resource, each a call that blocks
    (pulumi#17481). With `debug` they stay, for `pulumi preview --debug`.
    """
    gc.disable()  # a program of seconds has nothing to collect, and looks for it ever longer
    # The interpreter collects as it ends, whatever is disabled: 0.13 s of lab-services. What is
    # frozen it passes over.
    atexit.register(gc.freeze)
    # pydantic else reads the metadata of every installed package, in search of plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    resource._get_stack_trace = stack_trace
    if not debug:
        pulumi.log.debug = lambda *_, **__: None
    sys.meta_path.insert(0, ProviderFinder())


def stack_trace() -> source_pb2.StackTrace:
    """Where a resource is made, as the SDK tells the engine: the frames above its class's own.

    The SDK's function of this name also reads the source lines of all frames, to drop them.
    """
    frames, found = [], 0
    frame = sys._getframe(1)
    while above := frame.f_back:
        frame = above
        if found == 3:  # Resource, CustomResource or ComponentResource, and the class itself
            uri = _uri(frame.f_code.co_filename)
            position = source_pb2.SourcePosition(uri=uri, line=frame.f_lineno) if uri else None
            frames.append(source_pb2.StackFrame(pc=position))
        elif frame.f_code.co_name == "__init__":
            found += 1
    return source_pb2.StackTrace(frames=frames)


@functools.cache
def _uri(file: str) -> str:
    path = Path(file)
    return path.as_uri() if path.is_absolute() else ""


async def settle() -> None:
    """Wait for all that the program began; the entry point to give to `pulumi.run`.

    The SDK would do it too, but for one output at a time, each time looking at all of them:
    a third of the time that 800 resources take. What fails is left for the SDK to report.
    """
    own = asyncio.current_task()
    while others := asyncio.all_tasks() - {own}:
        done, _ = await asyncio.wait(others, return_when=asyncio.FIRST_EXCEPTION)
        if any(task.cancelled() or task.exception() for task in done):
            return


class ProviderFinder(MetaPathFinder):
    """Imports the packages of Pulumi's providers without the resources that nobody uses.

    A generated package imports its every module, pulumi_gitlab 228 in 130 ms, for two dozen used.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The package's own spec with a loader that waits; None for everything else."""
        if not fullname.startswith("pulumi_"):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader and spec.submodule_search_locations:
            spec.loader = _Waiting(spec.loader)
        return spec


class _Waiting(Loader):
    """Runs a package's __init__ only for a name that is in no module where it would belong."""

    def __init__(self, loader: Loader):
        self.loader = loader

    def exec_module(self, module: ModuleType) -> None:
        def find(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
            places = (snake, "_inputs", "_enums")
            for place in places[1:] if name.endswith("Args") else places:
                if importlib.util.find_spec(f"{module.__name__}.{place}"):
                    found = importlib.import_module(f"{module.__name__}.{place}")
                    if place == name:
                        return found
                    if hasattr(found, name):
                        return vars(module).setdefault(name, getattr(found, name))
            self.loader.exec_module(module)
            if name in vars(module):
                return vars(module)[name]
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        vars(module)["__getattr__"] = find
