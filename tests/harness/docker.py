"""A real Docker engine (Debian's docker.io) and a real registry, as processes of a test.

No image can be pulled from outside: tests build theirs FROM scratch.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.process import clean_environment, free_port, listens, server

REGISTRY = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: 127.0.0.1:{port}}}
"""


# Where an engine's networks must not touch the machine's, nor another engine's: without any, or
# in a network namespace of its own, where published ports are reached from within only.
NO_NETWORK = ("--bridge", "none", "--iptables=false")
NAMESPACE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


@contextmanager
def engine(folder: Path, *options: str, networks: bool = False) -> Iterator[str]:
    """Run an engine with its own data; yields its DOCKER_HOST. Needs root and docker.io.

    With `networks` it can make networks and publish ports, in a namespace of its own.
    """
    if shutil.which("dockerd") is None:
        raise FileNotFoundError("dockerd: apt-get install docker.io (tests/packages.txt)")
    socket = folder / "docker.sock"
    host = f"unix://{socket}"

    def ready() -> bool:
        asked = subprocess.run(
            ["docker", "--host", host, "version"], capture_output=True, check=False
        )
        return asked.returncode == 0

    with server(
        [
            *(NAMESPACE if networks else ()),
            "dockerd",
            *("--host", host, "--data-root", folder / "data", "--exec-root", folder / "exec"),
            *("--pidfile", folder / "docker.pid", *(() if networks else NO_NETWORK)),
            *options,
        ],
        ready,
        folder / "dockerd.log",
        env=clean_environment(),
        cwd=folder,
    ):
        try:
            yield host
        finally:
            # Containers in the machine's network leave it mounted, and the folder undeletable.
            subprocess.run(
                ["umount", "--lazy", folder / "exec" / "netns" / "default"],
                capture_output=True,
                check=False,
            )


def namespace(host: str) -> str:
    """The network of an engine with a namespace of its own, for nsenter."""
    pid = Path(host.removeprefix("unix://")).with_name("docker.pid").read_text().strip()
    return f"/proc/{pid}/ns/net"


@contextmanager
def registry(folder: Path, port: int | None = None) -> Iterator[str]:
    """Run a registry; yields its HOST:PORT, plain HTTP and open to everybody.

    It is empty unless `folder` has what another left there.
    """
    port, config = port or free_port(), folder / "registry.yml"
    config.write_text(REGISTRY.format(folder=folder / "registry", port=port))
    with server(
        ["docker-registry", "serve", config],
        lambda: listens(port),
        folder / "registry.log",
        env=clean_environment(),
        cwd=folder,
    ):
        yield f"127.0.0.1:{port}"
