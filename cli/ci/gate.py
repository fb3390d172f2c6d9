"""Whether a deployment does what was reviewed.

It guards against surprises, not against malice: who may push a branch could write any review.
"""

from collections.abc import Mapping, Sequence

from cli.lib.plan import Plan, Step

Key = tuple[str, str, str]
# The provider renews a token by an update, once it has `rotate_before_days` left to live. What the
# program decides of it is not part of that.
TOKEN = "gitlab:index/projectAccessToken:ProjectAccessToken"  # noqa: S105  # a type
DECIDED = {"accessLevel", "description", "name", "project", "rotationConfiguration", "scopes"}
# The records in Vault that hold such a token (layers/services); their update may come a run later.
RECORDS = ("ci-access-shared-provision", "ci-access-infra-ci-notes")


def refusals(
    now: Plan, reviewed: Plan | None, below: Sequence[Plan], *, by_hand: bool = False
) -> list[str]:
    """Why `now` must not be applied; empty if it may.

    reviewed: the same layer's preview in the merge request; below: those of the lower layers.
    Where a lower layer changed in the same merge request, this layer could not be previewed on top
    of it, so it may differ, but no data may be lost by it. `by_hand`: a person started it for what
    the merge request did not touch, which allows the same.
    """
    known: Mapping[Key, Step] = {_key(step): step for step in (reviewed.steps if reviewed else ())}
    found = [
        f"{step.op} of {step.name} ({step.type}) loses data, and nobody reviewed it"
        for step in now.steps
        if step.destroys_data and _key(step) not in known
    ]
    if by_hand or any(plan.steps for plan in below):
        return found
    steps = beyond_renewal(now)
    if reviewed is None or reviewed.failed:
        if steps:
            found.append("there are changes, but no merge request previewed them")
        return found
    # What was reviewed and is not to happen any more was done by a deployment that failed later on.
    for step in steps:
        if _covered(step, known):
            continue
        text = f"{step.op} of {step.name} ({step.type}): {', '.join(step.properties) or 'all'}"
        found.append(f"{text} was not in the reviewed preview")
    return found


def beyond_renewal(plan: Plan) -> list[Step]:
    """The steps that are more than the renewal of tokens, which falls due by itself."""
    return [step for step in plan.steps if not _renews(step)]


def _renews(step: Step) -> bool:
    token = step.type == TOKEN and DECIDED.isdisjoint(step.properties)
    return step.op == "update" and (token or step.name in RECORDS)


def _key(step: Step) -> Key:
    return step.op, step.type, step.name


def _covered(step: Step, known: Mapping[Key, Step]) -> bool:
    """Whether a step is one of the reviewed ones, or what is left of one."""
    if step.op == "create" and ("replace", step.type, step.name) in known:
        return True  # the deletion was done
    reviewed = known.get(_key(step))
    if reviewed is None or not set(step.properties) <= set(reviewed.properties):
        return False
    # Without names an update could be of anything.
    return bool(step.properties or not reviewed.properties) or step.op != "update"
