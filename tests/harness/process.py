"""Real servers as processes of a test: free port, clean environment, bounded wait, end by pid."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

# Set globally on some machines; they make clients ignore their own trust settings
# (requests with verify=False) or panic (Go's AWS SDK v1 in docker-registry).
TRUST_VARIABLES = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


PATIENCE_S = 300  # other tests may have the cores; whatever ends early is noticed at once
# Ports for outgoing connections are above.
PORTS = range(10_000, 32_768)
# Not the one that Hypothesis seeds: two workers would be given the same ports.
CHANCE = random.SystemRandom()


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on now.

    Of the kernel's own choice (port 0), an outgoing connection may take it before its server does.
    """
    while True:
        port = CHANCE.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without trust and proxy variables, with `extra` on top."""
    unwanted = {*TRUST_VARIABLES, *PROXY_VARIABLES, *(name.upper() for name in PROXY_VARIABLES)}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "NO_PROXY": "*", **extra}


def listens(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(
    ready: Callable[[], bool], seconds: float = PATIENCE_S, what: str = "the server"
) -> None:
    """Poll `ready` until it is true; TimeoutError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} was not ready after {seconds:g} s")
        time.sleep(0.05)


@contextmanager
def server(
    command: Sequence[str | Path],
    ready: Callable[[], bool],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = PATIENCE_S,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until the block ends, output to `log`; an early end raises with its tail."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=dict(env) if env is not None else clean_environment(),
            cwd=cwd,
        )

    def answered() -> bool:
        if process.poll() is not None:
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{command[0]} ended with exit code {process.returncode}:\n{tail}")
        return ready()

    try:
        wait_for(answered, seconds, str(command[0]))
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
