"""layers/speed.py in a program of its own: it changes how every later import works."""

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


@pytest.mark.parametrize(
    "used",
    [
        "import pulumi_gitlab as gitlab; gitlab.Project",  # a resource
        "import pulumi_docker as docker; docker.ContainerPortArgs",  # an input
        "import pulumi_vault as vault; vault.kv.SecretV2",  # a module, and what is in it
        "from pulumi_command import local; local.Command",
        "from pulumi_command.local import Logging; Logging.STDOUT",  # an enumeration
        "import pulumi_vault as vault; vault.get_policy_document",  # a function
    ],
)
def test_what_is_used_is_the_packages_own(used: str) -> None:
    done = run(f"{used}; print(len([m for m in sys.modules if 'application_settings' in m]))")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "0\n"  # nothing else was imported with it


def test_a_name_in_no_module_of_its_own_is_found_too() -> None:
    done = run("import pulumi_docker as docker; print(docker.ContainerArgs.__name__)")
    assert (done.returncode, done.stdout) == (0, "ContainerArgs\n")


def test_a_misspelt_name_is_an_error_as_ever() -> None:
    done = run("import pulumi_gitlab as gitlab; gitlab.Projekt")
    assert done.returncode == 1
    assert "module 'pulumi_gitlab' has no attribute 'Projekt'" in done.stderr


def test_nothing_is_collected_at_the_end_either() -> None:
    cycle = """
class Cycle:
    def __init__(self): self.own = self
    def __del__(self): print("collected")
Cycle()
"""
    assert run(f"\n{cycle}").stdout == ""
    assert run(f"import gc\n{cycle}\ngc.collect()").stdout == "collected\n"


def test_a_resource_says_where_it_was_made_as_the_sdk_does() -> None:
    done = run(
        """
import pulumi
from pulumi.runtime import resource
from layers.speed import stack_trace
import importlib.util

assert resource._get_stack_trace is stack_trace
spec = importlib.util.find_spec("pulumi.runtime.resource")
fresh = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fresh)

class Resource:
    def __init__(self):
        register()

class Custom(Resource):
    def __init__(self):
        super().__init__()

class Bucket(Custom):
    def __init__(self):
        self._internal_init()

    def _internal_init(self):
        super().__init__()

def register():
    mine, theirs = stack_trace(), fresh._get_stack_trace()
    assert mine == theirs, (mine, theirs)
    print(len(mine.frames))

exec(compile("Bucket()", "/a/program.py", "exec"))
""".lstrip()
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


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
