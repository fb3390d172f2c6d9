"""What a rehearsal brings to a lab that stands, and what became of each layer."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from cli.lib.effects import named
from cli.lib.plan import Step
from rehearsal.edits import Edits
from rehearsal.world import Call, Operation

CHANGES = ("created", "updated", "replaced", "deleted")
OPERATIONS = ("update", "create", "delete")  # the later one says what became of the resource


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to a lab that stands: the checkout after a commit, edited settings, or both."""

    commit: str = ""
    edits: Edits = ()

    @property
    def before(self) -> str:
        """By what the lab stood."""
        return self.commit[:9] or "the settings as they are"

    @property
    def words(self) -> str:
        """The change as people say it."""
        edits = ", ".join(edit.text for edit in self.edits)
        checkout = f"from {self.commit[:9]} to this checkout" if self.commit else ""
        return " ".join(filter(None, (checkout, edits and f"with {edits}")))


@dataclass(kw_only=True)
class LayerResult:
    """What became of one layer; times in seconds."""

    layer: str
    resources: int = 0
    up_s: float = 0.0
    preview_s: float = 0.0
    down_s: float = 0.0
    calls: list[Call] = field(default_factory=list, repr=False)

    @property
    def steps(self) -> list[Step]:
        """What was done to each resource, in the order in which they were first touched."""
        made: dict[tuple[str, str], list[Call]] = defaultdict(list)
        for call in self.calls:
            made[call.type, call.name].append(call)
        return [
            Step.make(
                _operation({call.operation for call in calls}),
                kind,
                name,
                [path for call in calls for path in call.changed],
            )
            for (kind, name), calls in made.items()
        ]

    @property
    def changes(self) -> dict[str, list[str]]:
        """What was created, updated, replaced and deleted: its type and name."""
        found: dict[str, list[str]] = {word: [] for word in CHANGES}
        for step in self.steps:
            found[f"{step.op}d"].append(named(step.kind, step.name))
        return {word: sorted(names) for word, names in found.items()}


def _operation(done: Collection[Operation]) -> str:
    """What several operations on one resource are together."""
    if "create" in done and "delete" in done:
        return "replace"
    return max(done, key=OPERATIONS.index)
