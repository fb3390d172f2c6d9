"""One environment on the real engine with simulated providers, for tests."""

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.lib import ask, docker, reach, repair, stacks
from cli.lib.pulumi import visible
from layers import LAYERS
from rehearsal import operations, scratch
from rehearsal.servers import serve
from rehearsal.world import World
from settings import load
from settings.stackfile import is_secret
from tests.harness.patched import patch, patched

# Much longer than any layer takes: an engine that hangs fails the test instead of the whole run.
TIMEOUT_S = 240
# `--yes` shows a preview first: a whole run of the program, and nobody reads it here.
AT_ONCE = ("--skip-preview",)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a `pulumi` command ended with."""

    code: int
    said: str  # standard output and error


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """State and world at one moment; `folder` holds a copy of the backend."""

    folder: Path
    world: Mapping[str, Any]
    settings: str


@dataclass
class Lab:
    """A scratch project, its engine and its world."""

    scratch: scratch.Scratch
    world: World
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)  # by every command so far

    @property
    def env(self) -> str:
        return self.scratch.env

    @property
    def _settings(self) -> Path:
        return self.scratch.folder / f"Pulumi.{self.env}.yaml"

    def run(self, *arguments: str) -> Answer:
        """Run `pulumi`; returns when it has ended, no matter who ended it."""
        log = self.scratch.folder / "pulumi.log"
        with log.open("w+") as output:
            process = subprocess.Popen(
                ["pulumi", *arguments, "--non-interactive"],
                cwd=self.scratch.folder,
                env=dict(self.scratch.engine.variables),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
            self.pid = process.pid
            try:
                code = process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            finally:
                self.scratch.kill_leftovers()
        answer = Answer(code=code, said=log.read_text(errors="replace"))
        self.said.append(answer.said)
        return answer

    def up(self, layer: str) -> Answer:
        """Plain `pulumi up` of a layer, without asking."""
        return self.run("up", "--yes", "--skip-preview", "-s", self.scratch.stack(layer))

    def preview(self, layer: str, *options: str) -> Answer:
        """Plain `pulumi preview` of a layer."""
        return self.run("preview", "-s", self.scratch.stack(layer), *options)

    def steps(self, layer: str) -> dict[str, str]:
        """What `up` would do now: name of a resource -> operation, for all that it would touch."""
        answer = self.preview(layer, "--json")
        assert answer.code == 0, answer.said
        found = json.loads(answer.said[answer.said.index("{") :])
        return {
            step["urn"].rpartition("::")[2]: step["op"]
            for step in found["steps"]
            if step["op"] not in ("same", "read")
        }

    def secrets(self) -> set[str]:
        """Every secret that a provider made: passwords, keys, tokens; read from the state.

        Not what a provider was given: that may be secret as a whole for the sake of a part of it.
        """
        found: set[str] = set()
        for layer in LAYERS:
            stack = self.scratch.stack(layer)
            text = self.scratch.engine.capture("stack", "export", "--show-secrets", "-s", stack)
            for resource in json.loads(text)["deployment"].get("resources") or []:
                made = set(resource.get("outputs", {})) - set(resource.get("inputs", {}))
                for name, value in visible(resource.get("outputs", {})):
                    wrapped = resource["outputs"][name] is not value
                    if name in made and wrapped and resource.get("id"):
                        found |= {text for text in strings(value) if len(text) >= 12}
        assert len(found) > 20, "hardly any secret: the filter is wrong"
        return found

    def at_rest(self, layer: str) -> None:
        """AssertionError unless there is nothing left to do."""
        answer = self.preview(layer, "--expect-no-changes", "--diff")
        assert answer.code == 0, answer.said[-4000:]

    def repair(self, layer: str) -> None:
        """`./lab repair`, asking the simulated world instead of real servers."""
        engine, stack, world = self.scratch.engine, self.scratch.stack(layer), self.world
        repair.fix(engine, stack, lambda kind, inputs, _: operations.found(world, kind, inputs))

    def down(self, monkeypatch: pytest.MonkeyPatch) -> int:
        """`./lab down ENV --yes`; returns its exit code."""
        monkeypatch.setattr(
            stacks, "prepare", lambda _: (self.scratch.engine, self.scratch.settings)
        )
        monkeypatch.setattr(stacks, "trust", lambda *_: None)
        try:
            return stacks.down(self.env, yes=True, extra=AT_ONCE)
        finally:
            self.scratch.kill_leftovers()

    def up_all(
        self, monkeypatch: pytest.MonkeyPatch, *, layer: str | None = None, data: bool = False
    ) -> int:
        """`./lab up ENV [LAYER] --yes`; returns its exit code. With `data` the name was typed."""
        monkeypatch.setattr(
            stacks, "prepare", lambda _: (self.scratch.engine, self.scratch.settings)
        )
        monkeypatch.setattr(ask, "typed", lambda *_: None)
        config = yaml.safe_load(self._settings.read_text())["config"]
        plain = {key: value for key, value in config.items() if not is_secret(value)}
        facts = scratch.facts(load(plain, self._settings.name))
        # A server has a name once it is on, and keeps it.
        names = {**self.world.facts.names, **facts.names}
        monkeypatch.setattr(self.world, "facts", replace(facts, names=names))
        monkeypatch.setattr(docker, "require_health", lambda *_: None)  # no container runs
        monkeypatch.setattr(reach, "require", lambda *_: None)
        try:
            return stacks.up(self.env, layer, yes=True, data=data, extra=AT_ONCE)
        finally:
            self.scratch.kill_leftovers()

    def kill_at(self, number: int) -> None:
        """Let the engine die at the `number`-th call from now, applied and not answered."""
        self.world.kill_at(
            len(self.world.calls) + number, lambda: os.kill(self.pid, signal.SIGKILL)
        )

    def configure(self, change: Mapping[str, Any], removed: Iterable[str] = ()) -> None:
        """Change single settings of the running environment."""
        document: dict[str, Any] = yaml.safe_load(self._settings.read_text())
        patch(document["config"], change, removed)
        self._settings.write_text(json.dumps(document))

    def contents(self) -> Counter[tuple[str, str]]:
        """Everything in the world by type and name; a doubled thing counts twice."""
        return Counter((item.type, item.name) for item in self.world.items.values())

    def save(self, name: str) -> None:
        """Remember state and world."""
        folder = self.scratch.folder / "snapshots" / name
        shutil.copytree(self.scratch.state, folder, dirs_exist_ok=True)
        self.snapshots[name] = Snapshot(
            folder=folder, world=self.world.dump(), settings=self._settings.read_text()
        )

    def restore(self, name: str) -> None:
        """Go back to what `save` remembered, settings included."""
        shutil.rmtree(self.scratch.state)
        shutil.copytree(self.snapshots[name].folder, self.scratch.state)
        self.world.restore(self.snapshots[name].world)
        self._settings.write_text(self.snapshots[name].settings)


@contextmanager
def lab(env: str, folder: Path, change: Mapping[str, Any] | None = None) -> Iterator[Lab]:
    """An environment whose stacks are there and empty; `change` as tests.harness.patched."""
    made = scratch.make(env, folder, patched(env, change or {}))
    world = World(facts=scratch.facts(made.settings))
    with serve(world, made.executables):
        made.initialise()
        yield Lab(scratch=made, world=world)


def bring_up(lab: Lab, layers: tuple[str, ...] = LAYERS) -> dict[str, list[str]]:
    """Bring layers up in order, each proven not to change again; layer -> the calls that it made.

    Snapshots `before LAYER` and `after LAYER` are kept.
    """
    calls = {}
    for layer in layers:
        lab.save(f"before {layer}")
        begun = len(lab.world.calls)
        answer = lab.up(layer)
        assert answer.code == 0, answer.said[-4000:]
        lab.at_rest(layer)
        calls[layer] = [f"{call.type}={call.name}" for call in lab.world.calls[begun:]]
        lab.save(f"after {layer}")
    return calls


def strings(value: Any) -> Iterator[str]:
    """Every text inside of a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
