"""`./lab ci ACTION ENV [LAYER]`: what the lab's pipelines run."""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cli.ci import images, note, probe, tree
from cli.ci.forge import Forge, required
from cli.ci.gate import beyond_renewal, refusals
from cli.lib import stackfile, stacks
from cli.lib.ansible import look, runs
from cli.lib.backend import marker, prepare, settings_of, stack_file
from cli.lib.fault import Fault
from cli.lib.plan import Plan, reduce
from cli.lib.pulumi import DRIFTED, Engine, show_command
from layers import LAYERS
from settings import PROJECT, SettingsError, load_file
from settings.budget import Budget
from settings.budget import budget as plan_budget
from settings.images import PUSHED
from toolchain import files
from toolchain.install import ROOT

OUT = ROOT / ".ci-out"
NOTES_TOKEN = "GITLAB_TOKEN"  # noqa: S105  # a variable's name
# Sources of pipelines that a person started.
BY_HAND = ("web", "api")


def run(values: argparse.Namespace) -> int:
    """Run one action; returns its exit code."""
    if values.action in ("preview", "pending", "deploy") and not values.layer:
        raise Fault(f"./lab ci {values.action} needs a layer: {', '.join(LAYERS)}", 2)
    actions: dict[str, Callable[[], int]] = {
        "preview": lambda: preview(values.env, values.layer),
        "note": lambda: post_note(values.env),
        "notes": refresh_notes,
        "pending": lambda: pending(values.env, values.layer),
        "deploy": lambda: deploy(values.env, values.layer),
        "drift": lambda: drift(values.env),
        "images": lambda: images.build_all(settings_of(values.env), OUT),
    }
    return actions[values.action]()


def preview(env: str, layer: str) -> int:
    """Preview a layer of the merge request as it will be when merged; keep what was seen."""
    target = os.environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
    if target:
        tree.merge(target)
    engine = _engine(env)
    code, plan = _preview(engine, env, layer)
    plan.write(OUT)
    if target and not code:
        Forge().keep(plan)
    return code


def post_note(env: str) -> int:
    """Post the merge request's note from what the preview jobs left."""
    number = int(required("CI_MERGE_REQUEST_IID"))
    head = required("CI_COMMIT_SHA")
    base = tree.merge(required("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"))
    plans = [Plan.parse(file.read_text()) for file in OUT.glob("*.json") if file.stem in LAYERS]
    forge = Forge(NOTES_TOKEN)
    wanted = forge.previewed(int(required("CI_PIPELINE_ID")))
    body = note.render(plans, wanted, head, base, _budgets(env, base))
    print(f"note {forge.post_note(number, body)}")
    return 0


def refresh_notes() -> int:
    """Say in every open merge request's note whether the target branch has moved on."""
    forge, base = Forge(NOTES_TOKEN), required("CI_COMMIT_SHA")
    for number, fork, ours in forge.open_requests(required("CI_COMMIT_BRANCH")):
        if fork:
            print(f"!{number}: from a fork; note {forge.post_note(number, note.FORK)}")
        elif ours:
            print(f"!{number}: note {forge.post_note(number, note.stale(ours, base))}")
    return 0


def pending(env: str, layer: str) -> int:
    """What waits to be applied from outside the lab; exit code 7 if there is anything."""
    code, plan = _preview(_engine(env), env, layer)
    if code or not plan.steps:
        return code
    print(f"{layer} is not applied from CI, which runs on what it may restart. From outside run:")
    print(f"\n    ./lab up {env} {layer}\n")
    return DRIFTED


def deploy(env: str, layer: str) -> int:
    """Apply a layer if it does what was reviewed, then prove that it answers."""
    engine = _engine(env)
    for below in LAYERS[: LAYERS.index(layer)]:
        code, waiting = _preview(engine, env, below)
        if code:
            raise Fault(f"{layer} is not deployed: the preview of {below} below it failed")
        if beyond_renewal(waiting):
            raise Fault(
                f"{layer} is not deployed: it may need what is not applied of {below} below it.\n"
                f"Run ./lab up {env} {below} from outside the lab, then this job again."
            )
    code, now = _preview(engine, env, layer)
    if code:
        return code
    forge, files = Forge(), tree.current()
    lower = [forge.reviewed(files, name) for name in LAYERS[: LAYERS.index(layer)]]
    reasons = refusals(
        now,
        forge.reviewed(files, layer),
        [plan for plan in lower if plan],
        by_hand=os.environ.get("CI_PIPELINE_SOURCE") in BY_HAND,
    )
    if reasons:
        lines = "\n".join(f"- {reason}" for reason in reasons)
        raise Fault(
            f"{layer} is not deployed:\n{lines}\n"
            "Open a merge request that shows it, or run ./lab up from outside the lab."
        )
    if now.steps and (code := stacks.up(env, layer, yes=True)):
        return code
    return probe.probe(engine, f"{env}-{layer}")


def drift(env: str) -> int:
    """Compare every layer and machine with the state and keep one issue up to date.

    Names only: what differs inside of a file may be seen with ./lab drift, not in a job's log.
    """
    engine, findings, worst = _engine(env), [], 0
    for layer in LAYERS:
        code, plan = _preview(engine, env, layer, "--refresh", "--expect-no-changes")
        if code not in (0, DRIFTED):
            worst = code
            findings.append(f"- {layer}: the preview failed, see the job's log")
        findings += [
            f"- {layer}: {step.op} `{step.name}` ({step.type.rpartition(':')[2]})"
            + (f": {', '.join(step.properties)}" if step.properties else "")
            for step in plan.steps
        ]
        code, inside = _machines(engine, env, layer)
        worst = worst or code
        findings += inside
    print(Forge(NOTES_TOKEN).report_drift(findings))
    return worst


def _machines(engine: Engine, env: str, layer: str) -> tuple[int, list[str]]:
    """What differs inside of a layer's machines; not 0 where one could not be looked at."""
    findings, worst = [], 0
    try:
        for run in runs(engine, f"{env}-{layer}"):
            seen = look(engine, run)
            findings += [f"- {layer}: {difference}" for difference in seen.differences]
            if seen.code not in (0, DRIFTED):
                worst = seen.code
                findings.append(f"- {layer}: {run.name} could not be compared, see the job's log")
    except Fault as error:
        print(error)
        return 1, [*findings, f"- {layer}: its state cannot be read, see the job's log"]
    return worst, findings


def _engine(env: str) -> Engine:
    """The engine, on the backend that the job was given."""
    given = os.environ.get("PULUMI_BACKEND_URL")
    if given and not marker(env).exists():
        files.replace(marker(env), given.encode(), 0o600)
    give_images(env)
    engine, _ = prepare(env)
    return engine


def give_images(env: str) -> None:
    """Write into the settings of this checkout which images are pushed.

    By the manifest that this pipeline's images job left, else by what the registry has. Previews
    need it as deployments do, or they would show each image as about to be built.
    """
    file = OUT / images.FILE
    if not file.exists():
        try:
            images.record(OUT)
        except Exception as error:  # faults in a branch's code are for the preview to report
            print(f"no manifest of images, so layers build their own: {error}", flush=True)
            return
    pushed = json.loads(file.read_text())
    settings, path = stack_file(env), ("config", f"{PROJECT}:{PUSHED}")
    text = stackfile.with_value(stackfile.read(settings), path, json.dumps(pushed))
    stackfile.write(settings, text)
    print(f"{path[-1]} in {settings.name}: {', '.join(pushed) or 'none'}", flush=True)


def _preview(engine: Engine, env: str, layer: str, *options: str) -> tuple[int, Plan]:
    stack = f"{env}-{layer}"
    show_command(("preview", "-s", stack, *options))
    seen = engine.preview(
        stack, *options, waiting=lambda: print(f"previewing {layer} ...", flush=True)
    )
    plan = reduce(layer, tree.current(), seen.data)
    if seen.failed:
        plan = replace(plan, failed=True)
        print(seen.said, *(row["message"].rstrip() for row in seen.errors), sep="\n")
    for step in plan.steps:
        print(f"{step.op:<8} {step.type} {step.name} {', '.join(step.properties)}".rstrip())
    print(f"{layer}: {len(plan.steps)} changes{', failed' if plan.failed else ''}", flush=True)
    return seen.code, plan


def _budgets(env: str, base: str) -> tuple[Budget, Budget] | None:
    """The budget of the target branch's settings and of these; None where one has faults."""
    name = stack_file(env).name
    try:
        with tempfile.TemporaryDirectory() as folder:
            before = Path(folder, name)
            before.write_text(tree.git("show", f"{base}:{name}"))
            return plan_budget(load_file(before)), plan_budget(settings_of(env))
    except (Fault, SettingsError) as error:
        print(f"no budget in the note: {error}")
        return None
