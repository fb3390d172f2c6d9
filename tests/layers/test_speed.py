"""layers/speed.py in a program of its own: it changes the interpreter's collector."""

import subprocess
import sys

import pytest

from toolchain.install import ROOT

pytestmark = pytest.mark.unit
START = "import sys; from layers.speed import speed_up; speed_up(); "


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_nothing_is_collected_at_the_end_either() -> None:
    cycle = """
class Cycle:
    def __init__(self): self.own = self
    def __del__(self): print("collected")
Cycle()
"""
    assert run(f"\n{cycle}").stdout == ""
    assert run(f"import gc\n{cycle}\ngc.collect()").stdout == "collected\n"


@pytest.mark.parametrize(
    ("begun", "left"),
    [
        ("asyncio.sleep(0.01), chain()", "0"),
        ("failing(), asyncio.sleep(60)", "1"),  # for the SDK, which reports and then cancels
    ],
)
def test_settle_waits_for_what_others_begin_and_leaves_failures(begun: str, left: str) -> None:
    done = run(
        f"""
import asyncio
from layers.speed import settle

async def chain():
    await asyncio.sleep(0.01)
    asyncio.ensure_future(asyncio.sleep(0.01))

async def failing():
    raise ValueError("as the SDK reports it")

async def main():
    begun = [asyncio.ensure_future(each) for each in ({begun},)]
    await settle()
    print(len(asyncio.all_tasks()) - 1)
    for each in begun:
        each.cancel()

asyncio.run(main())
""".lstrip()
    )
    assert (done.returncode, done.stdout.strip()) == (0, left), done.stderr
