"""The one note of a merge request, and how it says that main has moved on."""

import re
from collections.abc import Sequence

from cli.lib.effects import effects, lines
from cli.lib.plan import Plan, Step
from layers import LAYERS
from settings.budget import Budget

MARKER = "<!-- datalab-preview -->"
BASE = re.compile(r"<!-- base ([0-9a-f]{7,64}) -->")
STALE = "> :warning: **Out of date**: the target branch has moved on since; rebase to see it again."
# GitLab takes a million characters; nobody reads more than this.
LONGEST = 64_000
OPERATIONS = ("create", "update", "replace", "delete")
FORK = (
    f"{MARKER}\n### Preview\n\nThis merge request comes from a fork, whose pipelines get no "
    "secret of the lab. So it was **rehearsed**, not previewed: its own pipeline brings the whole "
    "lab up in simulation. A member can push the branch to this project for a preview."
)


def render(
    plans: Sequence[Plan],
    wanted: Sequence[str],
    commit: str,
    base: str,
    budgets: tuple[Budget, Budget] | None,
) -> str:
    """The note for `commit` on top of `base`, from the plans of the layers that were previewed.

    wanted: the layers that were to be previewed.
    """
    ordered = sorted(plans, key=lambda plan: LAYERS.index(plan.layer))
    parts = [
        MARKER,
        f"<!-- base {base} -->",
        "### Preview",
        "",
        *_table(ordered, wanted),
        "",
        *_warnings(ordered),
        *_effects(ordered),
        *(_budget(*budgets) if budgets else ()),
        f"Commit {commit[:12]} on {base[:12]}. Only names are shown, never values; a secret can "
        "show as changed though it is equal (pulumi#18957).",
        "",
    ]
    head = "\n".join(parts)
    for plan in ordered:
        details = _details(plan)
        if len(head) + len(details) > LONGEST:
            head += f"\nThe changes of {plan.layer} are too many to list; the job's log has them.\n"
        else:
            head += details
    return head


def _table(plans: Sequence[Plan], wanted: Sequence[str]) -> list[str]:
    if not plans and not wanted:
        return ["No layer is touched."]
    rows = ["| layer | create | update | replace | delete |", "| --- | ---: | ---: | ---: | ---: |"]
    for plan in plans:
        cells = [f"**{n}**" if n else "0" for n in map(plan.count, OPERATIONS)]
        if plan.failed:
            cells = ["failed, see the job's log", "", "", ""]
        rows.append(f"| {plan.layer} | {' | '.join(cells)} |")
    seen = {plan.layer for plan in plans}
    missing = [layer for layer in LAYERS if layer in wanted and layer not in seen]
    return [*rows, *(f"| {layer} | not previewed, see the pipeline | | | |" for layer in missing)]


def _warnings(plans: Sequence[Plan]) -> list[str]:
    found = [
        f"> - {step.op} {_named(step)} in {plan.layer}"
        for plan in plans
        for step in plan.steps
        if step.destroys_data
    ]
    return ["> :warning: **Data is at stake**", ">", *found, ""] if found else []


def _effects(plans: Sequence[Plan]) -> list[str]:
    found = effects(step for plan in plans for step in plan.steps)
    return [*(f"- {line}" for line in lines(found, _code)), ""] if plans else []


def _budget(before: Budget, after: Budget) -> list[str]:
    rows = (
        ("machines, MiB", before.dedicated_mib, after.dedicated_mib),
        ("machines, cores", before.cores, after.cores),
        ("containers, MiB", before.containers_mib, after.containers_mib),
    )
    lines = ["| budget | before | after |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {old} | {_changed(old, new)} |" for name, old, new in rows]
    return [*lines, *(f"- {text}" for text in after.errors + after.warnings), ""]


def _changed(old: int, new: int) -> str:
    return str(new) if old == new else f"**{new}** ({new - old:+})"


def _details(plan: Plan) -> str:
    if not plan.steps:
        return ""
    lines = [f"- {step.op} {_named(step)}{_properties(step)}" for step in plan.steps]
    body = "\n".join(lines)
    return (
        f"\n<details><summary>{plan.layer}: {len(plan.steps)} changes</summary>\n\n{body}\n\n"
        "</details>\n"
    )


def _named(step: Step) -> str:
    return f"{_code(step.name)} ({_code(step.kind)})"


def _properties(step: Step) -> str:
    return f": {', '.join(step.properties)}" if step.properties else ""


def _code(text: str) -> str:
    """Names are the merge request's own text: no markup, no mention, no link comes out of them."""
    return f"`{re.sub(r'[^A-Za-z0-9_.: /-]', '?', text)[:120]}`"


def stale(body: str, base: str) -> str:
    """The note `body` as it should be now that the target branch is at `base`."""
    made_for = BASE.search(body)
    lines = [line for line in body.splitlines() if line != STALE]
    if made_for and made_for[1] != base:
        place = next((n for n, line in enumerate(lines) if line.startswith("### ")), 0)
        lines[place + 1 : place + 1] = [STALE]
    return "\n".join(lines)
