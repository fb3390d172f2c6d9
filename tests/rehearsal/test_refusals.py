"""Every refusal of the simulated world, provoked through the gRPC interface."""

import re
from dataclasses import replace

import pytest

from rehearsal.refusals import table
from rehearsal.rules import docker
from tests.rehearsal.client import FACTS, Lab, RefusedByProviderError
from tests.rehearsal.provocations import PROVOCATIONS, everything_fits


class Anything(dict[str, "Anything"]):
    """Stands for every value of a reason."""

    def __missing__(self, key: str) -> "Anything":
        return self

    def __format__(self, spec: str) -> str:
        return "ANYTHING"


def test_no_refusal_lacks_a_provocation() -> None:
    assert sorted(PROVOCATIONS) == sorted(table())


@pytest.mark.parametrize("refusal", sorted(table()))
def test_refuses(lab: Lab, refusal: str) -> None:
    with pytest.raises(RefusedByProviderError) as refused:
        PROVOCATIONS[refusal](lab)
    reason = table()[refusal].reason.format_map(Anything())
    assert re.fullmatch(re.escape(reason).replace("ANYTHING", ".*"), str(refused.value))
    assert table()[refusal].source


def test_a_refused_call_changes_nothing_and_is_not_counted(lab: Lab) -> None:
    lab.create(docker.VOLUME, "data", name="data")
    before = lab.world.dump()
    lab.world.fail(docker.VOLUME, "data")
    with pytest.raises(RefusedByProviderError, match="on demand"):
        lab.delete(docker.VOLUME, "data", "data", name="data")
    assert lab.world.dump() == before
    lab.delete(docker.VOLUME, "data", "data", name="data")
    assert not lab.world.items


def test_what_goes_wrong_in_some_runs_only_went_well_where_the_lab_stands(lab: Lab) -> None:
    lab.world.facts = replace(FACTS, in_luck=True)
    PROVOCATIONS["postgresql-pool"](lab)


def test_what_fits_is_not_refused(lab: Lab) -> None:
    everything_fits(lab)
    assert len(lab.world.items) == 7
