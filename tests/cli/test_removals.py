"""What the settings switch off goes from the top; tests/engine/scenarios.py has the real engine."""

import json
from typing import Any

import pytest

from cli.lib import ask, removals
from cli.lib.fault import Fault
from cli.lib.pulumi import Engine
from cli.lib.removals import Removal

VM = "urn:pulumi:lab-platform::datalab::p:VmLegacy::gitlab-vm"
PROJECT = "urn:pulumi:lab-services::datalab::g:Project::gitlab-project"
VOLUME = "urn:pulumi:lab-services::datalab::a$docker:index/volume:Volume::kafka-data-volume"
TOPIC = "urn:pulumi:lab-services::datalab::command:local:Command::events-topic"


def test_layers_above_the_lowest_that_loses_something_come_first() -> None:
    found = [
        Removal(layer="apps"),
        Removal(layer="services", deleted=(PROJECT,)),
        Removal(layer="platform", deleted=(VM,), servers=(VM,)),
        Removal(layer="foundation"),
    ]
    assert removals.from_the_top(found) == ["services"]
    assert removals.from_the_top([Removal(layer="services", deleted=(TOPIC,))]) == []


def test_a_server_stays_while_nobody_knows_what_stands_on_it() -> None:
    unknown = Removal(layer="services", error="the program ended")
    server = Removal(layer="platform", deleted=(VM,), servers=(VM,))
    with pytest.raises(Fault, match=r"switch off gitlab-vm of platform.*services.*\nthe program"):
        removals.from_the_top([unknown, server])
    # An upgrade may need the layer below first, and takes nothing away there.
    assert removals.from_the_top([unknown, Removal(layer="platform")]) == []


def test_what_is_protected_goes_only_by_the_labs_own_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(Engine, "capture", lambda _self, *words, **_: ran.append(words))
    monkeypatch.setattr(ask, "typed", lambda name, what: ran.append((name, what)))
    engine = Engine(folder=None, variables={})  # type: ignore[arg-type]
    component = "urn:pulumi:lab-platform::datalab::datalab:places:VirtualMachine::gitlab"
    found = [Removal(layer="platform", deleted=(VM,), protected={component: False, VM: True})]
    with pytest.raises(Fault, match=r"nothing was touched.*\./lab up lab --data"):
        removals.allow(engine, "lab", found, data=False)
    assert "lab-platform: protected: gitlab-vm\n" in capsys.readouterr().err
    assert ran == []
    removals.allow(engine, "lab", found, data=True)
    assert ran == [
        ("lab", "This deletes with its data: gitlab-vm"),
        ("state", "unprotect", component, "--yes", "-s", "lab-platform"),
        ("state", "unprotect", VM, "--yes", "-s", "lab-platform"),
    ]
    ran.clear()


def test_a_topic_keeps_its_data_until_it_is_confirmed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed: list[tuple[str, str]] = []
    monkeypatch.setattr(ask, "typed", lambda name, what: typed.append((name, what)))
    engine = Engine(folder=None, variables={})  # type: ignore[arg-type]
    found = [Removal(layer="services", deleted=(TOPIC,))]
    assert not removals.allow(engine, "lab", found, data=False)
    assert "kept with their data: events; ./lab up lab --data" in capsys.readouterr().err
    assert typed == []
    assert removals.allow(engine, "lab", found, data=True)
    assert typed == [("lab", "This deletes with its data: events")]


def test_a_volume_stays_on_the_engine_until_it_is_confirmed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Docker gives it to who asks for its name again; what Pulumi makes inside of a server not."""
    state = {"deployment": {"resources": [{"urn": VOLUME, "protect": True}, {"urn": VM}]}}
    taken: list[dict[str, Any]] = []

    def capture(_: Engine, *words: str, text: str | None = None) -> str:
        if "import" in words:
            taken.append(json.loads(text or ""))
        return json.dumps(state)

    monkeypatch.setattr(Engine, "capture", capture)
    engine = Engine(folder=None, variables={})  # type: ignore[arg-type]
    found = [Removal(layer="services", deleted=(VOLUME,), protected={VOLUME: True})]
    assert not removals.allow(engine, "lab", found, data=False)
    assert "kept with their data: kafka-data-volume; ./lab up" in capsys.readouterr().err
    left = {"urn": VOLUME, "protect": False, "retainOnDelete": True}
    assert taken == [{"deployment": {"resources": [left, {"urn": VM}]}}]
    found += [Removal(layer="platform", deleted=(VM,), protected={VM: True})]
    with pytest.raises(Fault, match="nothing was touched"):
        removals.allow(engine, "lab", found, data=False)
    assert len(taken) == 1
