"""`dev` on a small machine, as the example has it."""

import re
from pathlib import Path

import pytest

from rehearsal import scratch
from rehearsal.servers import serve
from rehearsal.world import World
from settings import load_file
from settings.budget import budget
from settings.stackfile import read_config
from tests.engine.lab import Lab, bring_up

EXAMPLE = Path("examples/small-machine/Pulumi.dev.yaml")
PAGE = Path("docs/small-machine.md")


def test_it_fits_and_the_page_says_how_much_it_takes() -> None:
    plan = budget(load_file(EXAMPLE))
    assert (plan.errors, plan.warnings) == ((), ())
    rows = re.findall(r"^\| (.+?) \| (\d+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    *parts, (last, together) = [(name, int(mib)) for name, mib in rows]
    assert last == "together"
    assert together == plan.containers_mib == sum(mib for _, mib in parts)
    assert sorted(mib for _, mib in parts) == sorted(load.total_mib for load in plan.containers)


@pytest.mark.engine
def test_it_comes_up_and_is_settled(tmp_path: Path) -> None:
    made = scratch.make("dev", tmp_path, read_config(EXAMPLE))
    world = World(facts=scratch.facts(made.settings))
    with serve(world, made.executables):
        made.initialise()
        bring_up(Lab(scratch=made, world=world))
    containers = {item.get("name") for item in world.find("docker:index/container:Container")}
    assert "datalab-model-server" in containers
    assert not {"datalab-ollama", "datalab-open-webui", "datalab-portainer"} & containers
