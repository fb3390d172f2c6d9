"""Rules run where the sections that they read are sound, and nowhere else."""

from collections.abc import Iterator
from typing import Any

import pytest

from settings import SettingsError, load
from settings.rules import RULES
from settings.sections import Containers, Machines, Rule, Sections, arguments, sections
from settings.services.kafka import Kafka
from settings.target import DockerTarget, ProxmoxTarget
from tests.harness.patched import patched, sample

SOUND = {environment: sections(load(sample(environment), "")) for environment in ("dev", "lab")}


def faults(environment: str, changes: dict[str, Any], removed: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with the sample after changes."""
    with pytest.raises(SettingsError) as caught:
        load(patched(environment, changes, removed), "")
    return list(caught.value.faults)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.__module__}.{rule.__name__}")
def test_every_rule_finds_what_it_reads(rule: Rule) -> None:
    # With a misspelt section it would never run, and nobody would see it.
    assert any(arguments(rule, sound) is not None for sound in SOUND.values())


def reads_all(
    *,
    domain: str,
    kafka: Kafka,
    target: DockerTarget | ProxmoxTarget,
    machines: Machines,
    containers: Containers,
    sections: Sections,
) -> Iterator[tuple[str, str]]:
    """A rule that reads one of each."""
    yield domain, f"{kafka} {target} {machines} {containers} {sections}"


def test_what_a_rule_reads() -> None:
    sound = SOUND["lab"]
    found = arguments(reads_all, sound)
    assert found is not None
    assert (found["domain"], found["kafka"].port) == ("lab.home.arpa", 9092)
    assert found["target"] is sound["common.target"]
    assert sorted(found["machines"]) == [
        "foundation.cache.machine",
        "foundation.object_store.machine",
        "foundation.vault.machine",
        "platform.docker.machine",
        "platform.gitlab.machine",
    ]
    assert "platform.runner.job" in found["containers"]


@pytest.mark.parametrize("key", ["common.domain", "common.target", "services.kafka"])
def test_a_rule_waits_for_a_section_with_faults(key: str) -> None:
    left = Sections({name: part for name, part in SOUND["lab"].items() if name != key})
    assert arguments(reads_all, left) is None


def test_one_for_a_node_is_not_for_an_engine() -> None:
    def rule(node: ProxmoxTarget) -> Iterator[tuple[str, str]]:
        yield node.node, ""

    assert arguments(rule, SOUND["dev"]) is None


def test_five_faults_in_five_sections_are_told_at_once() -> None:
    found = faults(
        "lab",
        {
            "common.region": "",
            "foundation.vault.engine": "safe",
            "foundation.cache.machine.id": 101,
            "services.kafka.heap_mib": 1000,
            "services.mlflow.workers": 9,
        },
    )
    assert [fault.partition(": ")[0].removeprefix("datalab:") for fault in found] == [
        "common.region",
        "foundation.vault.engine",
        "foundation.cache.machine.id",
        "services.kafka.heap_mib",
        "services.mlflow.container.memory_mib",
    ]


def test_a_misspelt_key_is_one_line() -> None:
    assert faults("lab", {"common.target.bridgge": "vmbr0"}, ("common.target.bridge",)) == [
        "datalab:common.target.bridgge: unknown setting; did you mean bridge?"
    ]
    assert faults("lab", {"foundation.vualt": {}}, ("foundation.vault",)) == [
        "datalab:foundation.vualt: unknown setting; did you mean vault?"
    ]
    assert faults("lab", {"datalab:foundtion": {}}, ("datalab:foundation",)) == [
        "datalab:foundtion: unknown setting; did you mean foundation?"
    ]


def test_a_key_that_is_like_none_hides_no_missing_one() -> None:
    found = faults("lab", {"common.target.zzz": 1}, ("common.target.bridge",))
    assert [fault.partition(": ")[0] for fault in found] == [
        "datalab:common.target.bridge",
        "datalab:common.target.zzz",
    ]
