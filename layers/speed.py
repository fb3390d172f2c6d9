"""What makes every preview of a layer shorter; its figures are in docs/performance.md."""

import asyncio
import atexit
import gc

import pulumi


def speed_up(*, debug: bool = False) -> None:
    """Spare the program costs of the interpreter and the SDK; call it before resources are made.

    The SDK sends the engine four debug lines for each resource, each a call that blocks
    (pulumi#17481). With `debug` they stay, for `pulumi preview --debug`.
    """
    gc.disable()  # a program of seconds has nothing to collect, and looks for it ever longer
    # The interpreter collects once more as it ends, whatever is disabled: 0.13 s of lab-services.
    # It passes over what is frozen.
    atexit.register(gc.freeze)
    if not debug:
        pulumi.log.debug = lambda *_, **__: None


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
