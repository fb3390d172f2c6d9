"""What the simulators read from the SDK packages."""

import subprocess
import sys

from toolchain import install

# Of a fresh process: a module that is there cannot be found half read.
AT_ONCE = """
import threading
from rehearsal import sdk

start, found = threading.Barrier(6), []

def ask():
    start.wait()
    found.append(sdk.shape("vault", "vault:generic/endpoint:Endpoint"))

threads = [threading.Thread(target=ask) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found))
"""


def test_a_provider_is_asked_many_things_at_once() -> None:
    """A preview of `dev` failed: pulumi_vault.generic had no attribute Endpoint."""
    command = [sys.executable, "-c", AT_ONCE]
    done = subprocess.run(command, cwd=install.ROOT, check=False, capture_output=True, text=True)
    assert done.stdout == "6\n", done.stderr
