"""A simulated lab that was kept: providers that answer previews of it, and change nothing.

Run by the engine as a plugin, as `python -m rehearsal.kept FOLDER PACKAGE`: nothing has to go on
running for it.
"""

import json
import os
import shlex
import sys
import time
from concurrent import futures
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto import provider_pb2_grpc

from rehearsal import scratch, sdk
from rehearsal.servers import THREADS
from rehearsal.simulator import Simulator
from rehearsal.world import World
from settings import load
from settings.stackfile import read_config
from toolchain import install

WORLD = "world.json"
EXECUTABLE = """#!/bin/sh
PYTHONPATH={root} exec {python} -m rehearsal.kept {folder} {package}
"""


class Previewing(Simulator):
    """Answers what a preview asks; the engine's own words say what else it refuses."""

    def Create(self, request: proto.CreateRequest, context: grpc.ServicerContext) -> Any:
        return super().Create(request, context) if request.preview else _refuse(context)

    def Update(self, request: proto.UpdateRequest, context: grpc.ServicerContext) -> Any:
        return super().Update(request, context) if request.preview else _refuse(context)

    def Delete(self, request: proto.DeleteRequest, context: grpc.ServicerContext) -> Any:
        _refuse(context)


def _refuse(context: grpc.ServicerContext) -> Any:
    context.abort(
        grpc.StatusCode.UNIMPLEMENTED,
        "a rehearsal that was kept can be previewed, not changed: ./lab rehearse ENV --set "
        "KEY=VALUE changes one",
    )


def leave(folder: Path, world: World) -> None:
    """Write what is to stay: the world, and executables that answer for it."""
    world.save(folder / WORLD)
    for package in sdk.PACKAGES:
        words = {"root": install.ROOT, "python": install.VENV / "bin/python", "folder": folder}
        text = {name: shlex.quote(str(value)) for name, value in words.items()}
        executable = folder / "bin" / f"pulumi-resource-{package}"
        executable.write_text(EXECUTABLE.format(**text, package=package))


def world(folder: Path) -> World:
    """The world that was kept in a folder; by the settings as they are there now."""
    (file,) = folder.glob("Pulumi.*.yaml")
    config = scratch.plain(read_config(file))
    facts = scratch.facts(load(config, file.name))
    project = json.loads((folder / "Pulumi.yaml").read_text(encoding="utf-8"))
    found = World(facts=replace(facts, folder=project["main"]))
    found.load(folder / WORLD)
    return found


def main() -> None:
    """Serve one package until the engine ends."""
    folder, package = Path(sys.argv[1]), sys.argv[2]
    parent = os.getppid()
    server = grpc.server(futures.ThreadPoolExecutor(THREADS))
    made = Previewing(package, world(folder))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(made, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    while os.getppid() == parent:
        time.sleep(1)


if __name__ == "__main__":
    main()
