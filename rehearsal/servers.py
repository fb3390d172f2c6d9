"""Starts the simulators and makes the engine find them."""

from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from rehearsal import sdk
from rehearsal.simulator import Simulator
from rehearsal.world import World

# More than the engine's default parallelism needs at once from one provider on 2 cores; a call
# that is never answered keeps its thread.
THREADS = 8
# Prints the port as a plugin does, then lives as long as the engine that started it.
EXECUTABLE = """#!/bin/sh
echo {port}
while kill -0 "$PPID" 2>/dev/null; do sleep 1 </dev/null >/dev/null 2>&1; done
"""


@contextmanager
def serve(
    world: World, folder: Path, servicer: Callable[[str, World], Simulator] = Simulator
) -> Iterator[Mapping[str, int]]:
    """Serve every package on a port of loopback until the block ends; package -> port.

    `folder` gets an executable `pulumi-resource-PACKAGE` for each; put it at the front of PATH.
    """
    folder.mkdir(parents=True, exist_ok=True)
    servers, ports = [], {}
    for package in sdk.PACKAGES:
        pool = futures.ThreadPoolExecutor(THREADS, thread_name_prefix=package)
        server = grpc.server(pool)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer(package, world), server)
        ports[package] = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        executable = folder / f"pulumi-resource-{package}"
        executable.write_text(EXECUTABLE.format(port=ports[package]))
        executable.chmod(0o755)
    try:
        yield ports
    finally:
        for stopped in [server.stop(grace=None) for server in servers]:
            stopped.wait()
