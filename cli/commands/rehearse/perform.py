"""`./lab rehearse` itself, and what a person sees while it runs."""

import argparse
import shlex
import signal
import sys
import time
from contextlib import nullcontext
from typing import Any

from rich.console import Console

from cli.commands.rehearse import report
from cli.lib import backend
from cli.lib.command import nearest
from cli.lib.fault import Fault, SettingsFault
from cli.lib.terminal import print_json
from layers import LAYERS
from rehearsal import earlier, folder, kept, scratch
from rehearsal.catalogue import kinds
from rehearsal.edits import Edit
from rehearsal.refusals import table
from rehearsal.result import Change
from rehearsal.run import Rehearsal, RehearsalError
from rehearsal.servers import serve
from rehearsal.world import Call, World
from settings import SettingsError


def rehearse(values: argparse.Namespace) -> int:
    """Bring the lab up in simulation, prove it, take it down; exit code 1 where that fails."""
    # A CI job that is cancelled gets SIGTERM, one whose terminal was closed SIGHUP; what was
    # started must end with it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with folder.temporary(values.env) as place:
        try:
            _rehearse(values, scratch.make(values.env, place))
        except SettingsError as error:
            raise SettingsFault(str(error)) from None
        except RehearsalError as error:
            if not values.keep:
                raise Fault(f"{error}\n--keep leaves the state and all that was said") from None
            folder.keep(place)
            raise Fault(f"{error}\nWhat the engine said is in {place / 'log'}") from None
        if values.keep:
            folder.keep(place)
    return 0


def _rehearse(values: argparse.Namespace, project: scratch.Scratch) -> None:
    """Run it, and show what came of it."""
    change = _change(values)
    wanted = [_resource(resource) for resource in values.fail]
    begin = time.monotonic()
    console = Console(stderr=True, highlight=False)
    world = World(facts=scratch.facts(project.settings))
    live = console.status("") if console.is_terminal else nullcontext()
    with serve(world, project.executables), live as status:
        rehearsal = Rehearsal(scratch=project, world=world)
        steps = _Steps(console, status, begin)
        rehearsal.tell, world.on_call = steps.tell, steps.called
        layers = LAYERS[: LAYERS.index(values.layer) + 1] if values.layer else LAYERS
        try:
            if change:
                rehearsal.stand(change, layers)
            elif wanted:
                _matching(wanted, project.names(layers))
            for resource in wanted:
                world.fail(*resource)
            if values.kill_at:
                world.kill_at(values.kill_at, rehearsal.runner.kill)
            rehearsal.up(layers)
            if not change:
                rehearsal.renew()
            shown = report.changes(rehearsal, change) if change else report.data(rehearsal)
            if values.keep:
                kept.leave(project.folder, world)
            else:
                rehearsal.down()
        finally:
            rehearsal.runner.kill()
            project.kill_leftovers()
        if world.faults_left:
            raise RehearsalError("; ".join(world.faults_left))
    if not change:
        shown["layers"] = report.data(rehearsal)["layers"]  # with the times of their destruction
    seconds = time.monotonic() - begin
    _show(shown, rehearsal, seconds, as_json=values.json, kept=values.keep)
    if values.keep:
        _explain(project)


def _change(values: argparse.Namespace) -> Change | None:
    """What was asked to happen to a lab that stands, if anything was; faults come at once."""
    commit = earlier.commit(values.since) if values.since else ""
    source = f"Pulumi.{values.env}.yaml"
    edits = [Edit.parse(text, source) for text in values.edits]
    scratch.checked(values.env, edits)
    return Change(commit=commit, edits=edits) if commit or edits else None


class _Steps:
    """Live progress: a line for each step, on a terminal under it the operation of the moment."""

    def __init__(self, console: Console, status: Any, begin: float):
        self.console, self.status, self.begin = console, status, begin
        self.step, self.calls = "", 0

    def tell(self, step: str) -> None:
        """Begin a step."""
        shown = self.step if self.status else step
        if shown:
            self.console.print(f"{time.monotonic() - self.begin:5.1f} s  {shown}", markup=False)
        self.step, self.calls = step, 0
        if self.status:
            self.status.update(step)

    def called(self, call: Call) -> None:
        """A resource was made, changed or removed."""
        self.calls += 1
        if self.status:
            self.status.update(f"{self.step}, {self.calls}: {call.operation} {call.name}")


def _matching(wanted: list[tuple[str, str]], names: set[str]) -> None:
    """Fault for a resource that the layers do not have."""
    for kind, name in wanted:
        asked = f"{kind.rpartition(':')[2]}={name}"
        if asked not in names:
            text = f"--fail {kind}={name}: nothing of that type and name is made"
            raise Fault(text + nearest(asked, names), 2)


def _resource(text: str) -> tuple[str, str]:
    kind, _, name = text.partition("=")
    if not (kind and name):
        raise Fault(f"--fail takes TYPE=NAME, such as Container=kafka-container, not {text!r}", 2)
    types = {word for token in kinds() for word in (token, token.rpartition(":")[2])}
    if kind not in types:
        text = f"--fail {text}: no resource of the lab is of type {kind}"
        raise Fault(text + nearest(kind, types), 2)
    return kind, name


def _show(
    shown: dict[str, Any], rehearsal: Rehearsal, seconds: float, *, as_json: bool, kept: bool
) -> None:
    if as_json:
        print_json({**shown, "seconds": round(seconds, 1)})
        return
    console = Console(highlight=False)
    change = rehearsal.change
    for line in report.change_lines(shown, rehearsal) if change else ():
        console.print(line, markup=False, soft_wrap=True)
    for part in () if change else report.tables(shown, rehearsal):
        console.print(part)
    for line in rehearsal.recovered:
        console.print(f"Recovered from: {line}", markup=False)
    for line in rehearsal.renewed:
        console.print(f"Renewed: {line}", markup=False)
    env, rest = shown["environment"], "" if kept else ", and it left nothing behind"
    last = rehearsal.results[-1].layer
    if last != LAYERS[-1]:
        rest += f"; --layer stopped there: the layers above {last} were not rehearsed"
    if change:
        counts = ", ".join(f"{count} {word}" for word, count in shown["sum"].items())
        line = f"{env} {change.words}: {counts}; then nothing was left to do{rest}"
    else:
        line = (
            f"{env} came up, nothing was left to do{rest}: {seconds:.0f} s. "
            f"The simulated world refuses {len(table())} things; docs/rehearsal.md lists them."
        )
    console.print(line, markup=False, soft_wrap=True)


def _explain(project: scratch.Scratch) -> None:
    """How to look at what was kept."""
    names = ("BACKEND_URL", "DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "HOME")
    known = (*(f"PULUMI_{name}" for name in names), backend.PASSPHRASE[0], "PATH")
    lines = [f"export {name}={shlex.quote(project.engine.variables[name])}\n" for name in known]
    (project.folder / "env.sh").write_text("".join(lines))
    print(
        f"Kept in {project.folder}. To look at it:\n"
        f"  cd {project.folder} && . ./env.sh\n"
        f"  pulumi stack -s {project.stack(LAYERS[0])} --show-urns\n"
        f"  pulumi preview -s {project.stack(LAYERS[0])}  # edit {project.file.name} there first\n"
        "  python3 -m json.tool world.json  # what exists in the simulated world\n"
        f"To remove it: rm -r {project.folder}",
        file=sys.stderr,
    )
