"""Whether a deployment does what was reviewed.

It guards against surprises, not against malice: who may push a branch could write any review.
"""

from collections.abc import Mapping, Sequence

from cli.ci.plan import Plan, Step


def refusals(
    now: Plan, reviewed: Plan | None, below: Sequence[Plan], *, by_hand: bool = False
) -> list[str]:
    """Why `now` must not be applied; empty if it may.

    reviewed: the same layer's preview in the merge request; below: those of the lower layers.
    Where a lower layer changed in the same merge request, this layer could not be previewed on top
    of it, so it may differ, but no data may be lost by it. `by_hand`: a person started it for what
    the merge request did not touch, which allows the same.
    """
    known: Mapping[tuple[str, str, str], Step] = {
        (step.op, step.type, step.name): step for step in (reviewed.steps if reviewed else ())
    }
    found = [
        f"{step.op} of {step.name} ({step.type}) loses data, and nobody reviewed it"
        for step in now.steps
        if step.destroys_data and (step.op, step.type, step.name) not in known
    ]
    if by_hand or any(plan.steps for plan in below):
        return found
    if reviewed is None or reviewed.failed:
        if now.steps:
            found.append("there are changes, but no merge request previewed them")
        return found
    for step in sorted(set(now.steps) - set(reviewed.steps)):
        text = f"{step.op} of {step.name} ({step.type}): {', '.join(step.properties) or 'all'}"
        found.append(f"{text} was not in the reviewed preview")
    for step in sorted(set(reviewed.steps) - set(now.steps)):
        found.append(f"{step.op} of {step.name} ({step.type}) was reviewed, but is not to happen")
    return found
