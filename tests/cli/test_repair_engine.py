"""`./lab repair` on the real engine, which is killed between a provider's act and its answer."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.lib import repair
from cli.lib.fault import Fault
from cli.lib.pulumi import Engine
from tests.cli.provider import Things, serving

pytestmark = pytest.mark.engine

STACK = "dev-foundation"
PROGRAM = """
import json
import os
import pulumi

class Thing(pulumi.CustomResource):
    def __init__(self, kind, name, **inputs):
        super().__init__(kind, name, {"name": name, **inputs})

image = os.environ["THING_IMAGE"]
Thing("docker:index/volume:Volume", "data")
Thing("docker:index/container:Container", "server", image=image, mode=os.environ["THING_MODE"])
"""


@dataclass
class Scene:
    """A project of two things, its engine and its world."""

    engine: Engine
    things: Things
    variables: dict[str, str]

    def up(self) -> int:
        """Run `pulumi up`; -9 where it was killed."""
        process = subprocess.Popen(
            ["pulumi", "up", "--yes", "--skip-preview", "-s", STACK],
            cwd=self.engine.folder,
            env=self.variables,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        self.pid = process.pid
        return process.wait()

    def kill_at(self, operation: str, name: str) -> None:
        """Let the engine die once, after the provider acted and before it answers."""

        def kill(did: str, what: str) -> None:
            if (did, what) == (operation, name):
                self.things.before_answer = lambda *_: None
                os.kill(self.pid, signal.SIGKILL)

        self.things.before_answer = kill


@pytest.fixture
def scene(tmp_path: Path, pulumi_environment: Mapping[str, str]) -> Iterator[Scene]:
    """A fresh project with its own backend."""
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: datalab\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    things = Things()
    with serving(things) as port:
        variables = {
            **pulumi_environment,
            "PULUMI_HOME": str(tmp_path / "home"),
            "PULUMI_BACKEND_URL": f"{(tmp_path / 'state').as_uri()}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_DEBUG_PROVIDERS": f"docker:{port}",
            "THING_IMAGE": "one",
            "THING_MODE": "a",
        }
        engine = Engine(folder=tmp_path, variables=variables)
        engine.capture("stack", "init", STACK)
        yield Scene(engine, things, variables)


def settled(scene: Scene) -> None:
    """The next `up` works, finds nothing doubled, and leaves nothing to do."""
    assert scene.up() == 0
    assert sorted(thing["name"] for thing in scene.things.there.values()) == ["data", "server"]
    assert repair.leftovers(scene.engine, STACK, ()) == []
    scene.engine.capture("preview", "--expect-no-changes", "-s", STACK)


@pytest.mark.parametrize("name", ["data", "server"])
def test_create_is_imported(scene: Scene, name: str) -> None:
    scene.kill_at("create", name)
    assert scene.up() == -signal.SIGKILL
    assert any("creating" in line for line in repair.leftovers(scene.engine, STACK, ()))
    assert scene.up() != 0, "without a repair the engine must refuse, or this test proves nothing"
    repair.fix(scene.engine, STACK, scene.things.find)
    settled(scene)


def test_create_that_never_happened_is_dropped(scene: Scene) -> None:
    scene.kill_at("create", "server")
    scene.up()
    scene.things.there = {k: t for k, t in scene.things.there.items() if t["name"] != "server"}
    repair.fix(scene.engine, STACK, scene.things.find)
    settled(scene)


def test_replacement_is_finished(scene: Scene) -> None:
    assert scene.up() == 0
    scene.variables["THING_IMAGE"] = "two"
    scene.kill_at("create", "server")
    assert scene.up() == -signal.SIGKILL
    repair.fix(scene.engine, STACK, scene.things.find)
    settled(scene)
    assert [t["image"] for t in scene.things.there.values() if t["name"] == "server"] == ["two"]


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_update_and_delete_are_read_again(scene: Scene, operation: str) -> None:
    assert scene.up() == 0
    scene.variables["THING_MODE" if operation == "update" else "THING_IMAGE"] = "other"
    scene.kill_at(operation, "server")
    assert scene.up() == -signal.SIGKILL
    repair.fix(scene.engine, STACK, scene.things.find)
    settled(scene)


def test_a_repair_that_could_not_read_is_done_again(scene: Scene) -> None:
    scene.kill_at("create", "server")
    scene.up()
    broken = {**scene.variables, "PULUMI_DEBUG_PROVIDERS": "docker:1"}
    with pytest.raises(Fault, match="could not be read"):
        repair.fix(Engine(folder=scene.engine.folder, variables=broken), STACK, scene.things.find)
    assert "could not read" in "".join(repair.leftovers(scene.engine, STACK, ()))
    repair.fix(scene.engine, STACK, scene.things.find)
    settled(scene)


def killed(scene: Scene) -> str:
    """Kill the create of the server and take its lock away; the URN that is pending."""
    scene.kill_at("create", "server")
    assert scene.up() == -signal.SIGKILL
    scene.engine.capture("cancel", "--yes", "-s", STACK)
    state = json.loads(scene.engine.capture("stack", "export", "-s", STACK))["deployment"]
    urns: list[str] = [row["resource"]["urn"] for row in state["pending_operations"]]
    return next(urn for urn in urns if urn.endswith("::server"))


def deployment(scene: Scene) -> tuple[list[str], list[str]]:
    """The names of the resources in the state, and of what has a pending operation."""
    state = json.loads(scene.engine.capture("stack", "export", "-s", STACK))["deployment"]
    names = [entry["urn"].rpartition("::")[2] for entry in state["resources"]]
    operations = state.get("pending_operations") or []
    return names, [row["resource"]["urn"].rpartition("::")[2] for row in operations]


def test_the_engine_itself_cannot_import_what_was_pending(scene: Scene) -> None:
    """Why repair edits the state (docs/decisions/repair-edits-state.md).

    When this fails, the engine has learned it: let `./lab repair` call it instead.
    """
    urn = killed(scene)
    (there,) = [at for at, thing in scene.things.there.items() if thing["name"] == "server"]
    words = ("--import-pending-creates", urn, "--import-pending-creates", there)
    assert scene.engine.run("refresh", "-s", STACK, "--yes", "--skip-preview", *words) == 0
    names, pending = deployment(scene)
    assert "server" not in names
    assert "server" not in pending  # the other create may have been under way, too
    assert scene.up() != 0, "its name is in use"


def test_the_engine_clears_what_is_pending_though_it_exists(scene: Scene) -> None:
    killed(scene)
    words = ("refresh", "-s", STACK, "--yes", "--skip-preview", "--clear-pending-creates")
    assert scene.engine.run(*words) == 0
    names, pending = deployment(scene)
    assert ("server" in names, pending) == (False, [])
    assert {thing["name"] for thing in scene.things.there.values()} >= {"server"}, "it exists"


def test_a_taint_recreates(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the new one, then the old one goes: its kind may have two of one name."""
    assert scene.up() == 0
    monkeypatch.setattr(scene.things, "find", lambda *_: None)
    before = dict(scene.things.there)
    state = json.loads(scene.engine.capture("stack", "export", "-s", STACK))["deployment"]
    (urn,) = [e["urn"] for e in state["resources"] if e["urn"].endswith("::server")]
    repair.renew(scene.engine, STACK, [urn])
    settled(scene)
    kept = before.keys() & scene.things.there.keys()
    assert [before[at]["name"] for at in kept] == ["data"]
