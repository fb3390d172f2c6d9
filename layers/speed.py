"""What makes every preview of a layer shorter; its figures are in docs/performance.md."""

import gc
import os

import pulumi


def speed_up() -> None:
    """Spare the program two costs of the SDK; to be called before anything else is imported.

    The SDK sends the engine four debug lines for each resource, each a call that blocks
    (pulumi#17481). With DATALAB_DEBUG in the environment they stay, for `pulumi preview --debug`.
    """
    gc.disable()  # a program of seconds has nothing to collect, and looks for it ever longer
    if not os.environ.get("DATALAB_DEBUG"):
        pulumi.log.debug = lambda *_, **__: None
