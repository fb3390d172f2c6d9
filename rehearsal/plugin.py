"""A local provider as a plugin of its own: the engine starts it, and it ends with the engine.

Called by rehearsal/bin/pulumi-resource-PACKAGE. What it acts on is real (rehearsal/acting.py); of
Docker it is the real provider's own code (rehearsal/terraform).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from rehearsal import terraform
from rehearsal.acting import Acting
from rehearsal.facts import WorldFacts
from rehearsal.servers import THREADS
from rehearsal.terraform.docker import kind
from rehearsal.terraform.provider import RealProvider
from rehearsal.world import World
from toolchain import install

LOOK_S = 0.5  # how long it may outlive its engine


class Docker(RealProvider, Acting):
    """The real provider, and an act for what the official plugin adds to it."""

    def acts(self, token: str) -> bool:
        return super().acts(token) or kind(token) is not None


@contextmanager
def servicer(package: str) -> Iterator[Acting]:
    """What answers for a package."""
    world = World(facts=WorldFacts(folder=str(install.ROOT)))
    if package != "docker":
        yield Acting(package, world)
        return
    with (
        TemporaryDirectory() as folder,
        terraform.running(terraform.DOCKER, Path(folder), os.environ) as provider,
    ):
        yield Docker(package, world, provider, kind)


def main(package: str, alive: Callable[[], bool]) -> int:
    """Serve a package until its engine has ended; the port is printed first, as plugins do."""
    with servicer(package) as made:
        server = grpc.server(futures.ThreadPoolExecutor(THREADS))
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(made, server)
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)
        server.start()
        while alive():
            time.sleep(LOOK_S)
        server.stop(grace=None).wait()
    return 0


if __name__ == "__main__":
    if "--build" in sys.argv:  # what takes minutes, before an engine waits for it
        try:
            terraform.programs(terraform.DOCKER)
        except (install.SetupError, subprocess.CalledProcessError) as error:
            sys.exit(str(error))
        sys.exit()
    for number in (signal.SIGINT, signal.SIGTERM):  # by which the engine ends its plugins
        signal.signal(number, lambda *_: sys.exit())
    parent = os.getppid()
    sys.exit(main(sys.argv[1], lambda: os.getppid() == parent))
