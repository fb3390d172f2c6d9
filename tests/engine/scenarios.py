"""What must hold for an environment on the real engine; test_dev.py and test_lab.py run it."""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from cli.lib.fault import Fault
from layers import LAYERS
from tests.engine.lab import Lab, bring_up, lab
from tests.harness.switches import ALL_BUT_POSTGRESQL

# In CI for each environment; `./lab test --long` takes every operation instead.
SAMPLE = 5
Calls = dict[str, list[str]]


@dataclass(frozen=True)
class Switch:
    """Something that the settings can switch on and off.

    protected names what holds data and only goes with `--data`, by layer; kept are the volumes that
    stay on the engine without it.
    """

    layer: str
    on: dict[str, Any]
    off: dict[str, Any]
    removed: tuple[str, ...] = ()
    protected: dict[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


ALL_THAT_KEEPS = Switch(
    "apps",
    {f"{key}.enabled": True for key in ALL_BUT_POSTGRESQL},
    {f"{key}.enabled": False for key in ALL_BUT_POSTGRESQL},
    kept=(
        "kafka-data-volume",
        "ollama-data-volume",
        "open-webui-data-volume",
        "portainer-data-volume",
        "model-server-models-volume",
    ),
)


class Environment:
    """One environment, brought up once; every test begins from a snapshot of it."""

    env: ClassVar[str]
    # Settings that touch what holds secrets, in every layer.
    much: ClassVar[dict[str, Any]]
    # Layer -> the servers that stay after `./lab down`, as it names them.
    stays: ClassVar[dict[str, str]]
    # A changed setting -> layers that it touches and what happens there, resource -> operation.
    changes: ClassVar[dict[str, tuple[dict[str, Any], dict[str, dict[str, str]]]]]

    # GitLab, which `dev` has not got when it comes up, with all else that only goes with `--data`;
    # and what else can be switched off.
    protected: ClassVar[Switch]
    switches: ClassVar[dict[str, Switch]]

    @pytest.fixture(scope="class")
    @classmethod
    def up(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Calls]]:
        change = {key: value for s in cls.switches.values() for key, value in s.on.items()}
        with lab(cls.env, tmp_path_factory.mktemp(cls.env), change) as made:
            yield made, bring_up(made)

    @pytest.fixture
    def here(self, up: tuple[Lab, Calls]) -> Lab:
        up[0].restore(f"after {LAYERS[-1]}")
        return up[0]

    def test_layers_come_up_and_are_at_rest(self, up: tuple[Lab, Calls]) -> None:
        here, calls = up
        assert list(calls) == list(LAYERS)
        doubled = [key for key, count in here.contents().items() if count > 1]
        assert doubled == []

    def test_no_secret_is_in_plain_text_in_state_previews_or_logs(self, here: Lab) -> None:
        known = here.secrets()
        for file in here.scratch.state.rglob("*.json"):
            text = file.read_text(errors="replace")
            assert not [secret for secret in known if secret in text], file.name
        here.configure(self.much)
        for layer in LAYERS:
            assert here.preview(layer, "--json").code == 0
            assert here.preview(layer, "--diff").code == 0
        leaks = [said[:200] for said in here.said for secret in known if secret in said]
        assert leaks == []

    def test_settings_change_only_what_they_are_for(self, here: Lab) -> None:
        """All at once: each is for something else, and a preview costs two seconds."""
        wanted: dict[str, dict[str, str]] = {}
        for change, expected in self.changes.values():
            here.configure(change)
            for layer, steps in expected.items():
                wanted.setdefault(layer, {}).update(steps)
        for layer in LAYERS:
            assert here.steps(layer) == wanted.get(layer, {}), layer

    @pytest.mark.long
    def test_one_setting_changes_only_what_it_is_for(self, here: Lab) -> None:
        for name, (change, expected) in self.changes.items():
            here.restore(f"after {LAYERS[-1]}")
            here.configure(change)
            for layer in LAYERS:
                steps = here.steps(layer)
                assert steps == expected.get(layer, {}), f"{name}: {layer}: {steps}"

    def test_protected_data_refuses_to_be_destroyed(self, here: Lab) -> None:
        answer = here.run("destroy", "--yes", "--skip-preview", "-s", here.scratch.stack(LAYERS[0]))
        assert answer.code != 0
        assert "protect" in answer.said
        answer = here.run(
            "destroy", "--yes", "--skip-preview", "--exclude-protected", "-s",
            here.scratch.stack("services"),
        )  # fmt: skip
        assert answer.code == 0, answer.said[-2000:]
        left = {type_.rpartition(":")[2] for type_, _ in here.contents()}
        assert {"S3Bucket", "Volume", "Database"} <= left

    def test_down_keeps_what_data_stands_on_and_up_brings_the_rest_back(
        self, here: Lab, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        before = here.contents()
        for _ in range(2):  # again: nothing is left to do
            code, said = here.down(monkeypatch), "".join(capfd.readouterr())
            assert code == 0, said[-4000:]
            for layer, names in self.stays.items():
                line = f"lab: {self.env}-{layer}: still up, as data is on it: {names}\n"
                assert line in said, said[-4000:]
            assert said.count("still up") == len(self.stays)
        assert here.contents() < before
        for layer in LAYERS:
            answer = here.up(layer)
            assert answer.code == 0, answer.said[-4000:]
        for layer in LAYERS:
            here.at_rest(layer)
        assert here.contents() == before

    def test_what_is_switched_off_goes_from_the_top_and_comes_again(
        self, here: Lab, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """All at once, as every `up` costs much time."""
        before, others = here.contents(), tuple(self.switches.values())
        gitlab = here.scratch.settings.platform.gitlab.enabled
        switch_off(here, others, monkeypatch, capfd)
        if gitlab:
            # Not with what is switched on: what a layer loses cannot be told then.
            switch_on(here, others, monkeypatch, capfd)
            switch_off(here, [self.protected], monkeypatch, capfd)
            switch_on(here, [self.protected], monkeypatch, capfd)
        else:
            switch_on(here, [*others, self.protected], monkeypatch, capfd)
            switch_off(here, [self.protected], monkeypatch, capfd)
        assert here.contents() == before

    @pytest.mark.long
    def test_each_alone_is_switched_off_and_comes_again(
        self, here: Lab, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        before = here.contents()
        for switch in self.switches.values():
            here.restore(f"after {LAYERS[-1]}")
            switch_off(here, [switch], monkeypatch, capfd)
            switch_on(here, [switch], monkeypatch, capfd)
            assert here.contents() == before, switch

    @pytest.mark.parametrize("upper", LAYERS[1:])
    def test_an_upper_layer_says_what_to_run_first(self, up: tuple[Lab, Calls], upper: str) -> None:
        here, _ = up
        lower = LAYERS[LAYERS.index(upper) - 1]
        here.restore(f"before {LAYERS[0]}")
        answer = here.up(upper)
        assert answer.code != 0
        assert re.search(rf"run \./lab up {self.env}, which brings up every layer", answer.said), (
            lower,
            answer.said,
        )
        assert "Traceback" not in answer.said
        assert "exit code" not in answer.said, "the refusal is all that is said"

    @pytest.mark.parametrize("index", range(SAMPLE))
    def test_a_refusal_then_up_converges(self, up: tuple[Lab, Calls], index: int) -> None:
        layer, number = sample(up[1], f"refusal {self.env}", index)
        after_a_refusal(*up, layer, number)

    @pytest.mark.parametrize("index", range(SAMPLE))
    def test_a_kill_then_repair_and_up_converges(self, up: tuple[Lab, Calls], index: int) -> None:
        layer, number = sample(up[1], f"kill {self.env}", index)
        after_a_kill(*up, layer, number)

    @pytest.mark.parametrize("number", [1, 2])
    def test_a_kill_in_a_replacement_then_repair_and_up_converges(
        self, here: Lab, number: int
    ) -> None:
        """After the old container's deletion, and after its successor's creation."""
        before = here.contents()
        here.configure({"services.kafka.heap_mib": 400})
        here.kill_at(number)
        answer = here.up("services")
        assert answer.code == -9, answer.said[-2000:]
        here.repair("services")
        answer = here.up("services")
        assert answer.code == 0, answer.said[-4000:]
        here.at_rest("services")
        assert here.contents() == before

    @pytest.mark.long
    @pytest.mark.parametrize("layer", LAYERS)
    def test_every_refusal_then_up_converges(self, up: tuple[Lab, Calls], layer: str) -> None:
        sweep(*up, layer, after_a_refusal)

    @pytest.mark.long
    @pytest.mark.parametrize("layer", LAYERS)
    def test_every_kill_then_repair_and_up_converges(
        self, up: tuple[Lab, Calls], layer: str
    ) -> None:
        sweep(*up, layer, after_a_kill)


def switch_off(
    here: Lab,
    switches: Sequence[Switch],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Switch these off in one `./lab up`, with `--data` where what is protected asks for it."""
    for switch in switches:
        here.configure(switch.off, switch.removed)
    protected = {layer: names for s in switches for layer, names in s.protected.items()}
    if protected:
        refused(here, protected, monkeypatch, capfd)
    begun = len(here.world.calls)
    assert here.up_all(monkeypatch, data=bool(protected)) == 0, said(capfd)
    for layer in {switch.layer for switch in switches}:
        here.at_rest(layer)
    # Of the GPU nothing is a resource of its own.
    gone = [call for call in here.world.calls[begun:] if call.operation in ("delete", "update")]
    assert len(gone) >= len(switches), gone
    left = here.contents()
    for volume in (name for switch in switches for name in switch.kept):
        assert left["docker:index/volume:Volume", volume] == 1, volume


def refused(
    here: Lab,
    protected: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Without `--data`, or of a lower layer alone, nothing is switched off that holds data."""
    before = here.contents()
    with pytest.raises(Fault, match=f"nothing was touched.*/lab up {here.env} --data"):
        here.up_all(monkeypatch)
    told = said(capfd)
    for layer, names in protected.items():
        [line] = re.findall(f"{here.env}-{layer}: protected: (.*)\n", told)
        assert set(names.split(", ")) <= set(line.split(", ")), told
    with pytest.raises(Fault, match=rf"apps, services needs gitlab-.*\./lab up {here.env}"):
        here.up_all(monkeypatch, layer="platform", data=True)
    assert here.contents() == before


def switch_on(
    here: Lab,
    switches: Sequence[Switch],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Switch these on, in one `./lab up`."""
    for switch in switches:
        here.configure(switch.on)
    for layer in LAYERS[2:]:
        assert "Traceback" not in here.preview(layer).said, "of what the layers below have not got"
    assert here.up_all(monkeypatch) == 0, said(capfd)
    for layer in {switch.layer for switch in switches}:
        here.at_rest(layer)


def said(capfd: pytest.CaptureFixture[str]) -> str:
    """The end of what was said since the last look."""
    return "".join(capfd.readouterr())[-4000:]


def sample(calls: Calls, seed: str, index: int) -> tuple[str, int]:
    """The `index`-th of a fixed choice of operations: (layer, number of its call)."""
    every = [(layer, number) for layer, made in calls.items() for number in range(len(made))]
    chosen = random.Random(seed).sample(every, SAMPLE)  # noqa: S311 - a fixed choice
    return chosen[index]


def after_a_refusal(here: Lab, calls: Calls, layer: str, number: int) -> None:
    """A provider refuses one operation of a layer's first `up`; another `up` ends the work."""
    here.restore(f"before {layer}")
    type_, _, name = calls[layer][number].partition("=")
    here.world.fail(type_, name)
    answer = here.up(layer)
    assert answer.code != 0, f"{type_} {name} was not refused"
    assert "Traceback" not in answer.said
    converges(here, layer)


def after_a_kill(here: Lab, calls: Calls, layer: str, number: int) -> None:
    """The engine dies after a provider acted and before it answers; `repair` and `up` fix it."""
    here.restore(f"before {layer}")
    here.kill_at(number + 1)
    answer = here.up(layer)
    assert answer.code == -9, f"the engine was not killed: {answer.said[-2000:]}"
    here.repair(layer)
    converges(here, layer)


def converges(here: Lab, layer: str) -> None:
    """Another `up` ends the work: nothing is left to do, and nothing is lost or doubled."""
    answer = here.up(layer)
    assert answer.code == 0, answer.said[-4000:]
    here.at_rest(layer)
    contents = here.contents()
    here.restore(f"after {layer}")
    expected = here.contents()
    assert contents == expected, f"lost {expected - contents}, doubled {contents - expected}"


def sweep(
    here: Lab, calls: Calls, layer: str, scenario: Callable[[Lab, Calls, str, int], None]
) -> None:
    """Every operation of a layer; all that fail are named at the end."""
    failed = []
    for number, call in enumerate(calls[layer]):
        try:
            scenario(here, calls, layer, number)
        except Exception as error:  # one bad operation must not hide the others
            failed.append(f"{number} {call}: {str(error)[:600]}")
    assert not failed, f"{len(failed)} of {len(calls[layer])}:\n" + "\n".join(failed)
