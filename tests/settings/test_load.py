"""Loading: all faults at once, from files and from what the engine hands to the program."""

import json
from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settings import ENVIRONMENTS, Settings, SettingsError, load, load_file
from settings.base import walk
from settings.budget import budget
from settings.names import certificate_names, endpoints, hosts
from tests.harness.mutations import mutate, seeded
from tests.harness.patched import ROOT, patch, patched, sample


def faults(config: dict[str, Any]) -> list[str]:
    """What is wrong with a configuration."""
    with pytest.raises(SettingsError) as caught:
        load(config, "f.yaml")
    assert str(caught.value) == "\n".join(f"f.yaml: {fault}" for fault in caught.value.faults)
    return list(caught.value.faults)


def outcome(config: dict[str, Any]) -> Settings | tuple[str, ...]:
    """The settings, else their faults, each a printable line."""
    try:
        loaded = load(config, "f.yaml")
    except SettingsError as error:
        assert error.faults
        assert all(fault.isprintable() and len(fault) < 1000 for fault in error.faults)
        assert str(error).encode()
        return error.faults
    return loaded


def test_every_fault_at_once() -> None:
    found = faults(
        patched(
            "lab",
            {
                "foundation.vault.prot": 8200,  # structure
                "foundation.cache.machine.id": 101,  # clash with another section
                "platform.gitlab.machine.memory_mib": 1024,  # rule of one section
                "services.kafka.port": "9092",  # type
                "services.mlflow.workers": 9,
                "apps.web.container": None,
                "apps.model_server.results_topic": "none",  # across layers, but Kafka has a fault
                "datalab:proxmoxApiToken": "plain",
                "other:key": 1,
                "common.domain": "lab.local",
                "common.target.memory_mib": 20480,
            },
        )
    )
    assert [fault.partition(": ")[0] for fault in found] == [
        "datalab:proxmoxApiToken",
        "other:key",
        "datalab:foundation.vault.prot",
        "datalab:services.kafka.port",
        "datalab:apps.web.container",
        "datalab:foundation.cache.machine.id",
        "datalab:common.domain",
        "datalab:platform.gitlab.machine.memory_mib",
        "datalab:services.mlflow.container.memory_mib",
        "datalab:common.target.memory_mib",
    ]


def test_clash_is_found_with_a_fault_of_another_section() -> None:
    changes = {
        "platform.gitlab.enabled": "yes",
        "foundation.vault.machine.address": "192.168.1.101",
    }
    found = faults(patched("lab", changes))
    assert len(found) == 2
    assert "foundation.object_store.machine.address" in found[1]


def test_nothing_but_nonsense_has_a_fault_for_each_layer() -> None:
    found = faults({f"datalab:{name}": None for name in Settings.model_fields})
    assert found == [f"datalab:{name}: null is not a map of keys" for name in Settings.model_fields]
    assert faults({}) == ["datalab:common.target.kind: is missing; give it one of docker, proxmox"]


def test_values_of_secrets_and_of_unknown_keys_are_not_shown() -> None:
    changes = {
        "datalab:proxmoxApiToken": "hunter2",
        "datalab:token": "hunter2",
        "common.password": "hunter2",
        "services.ollama": {"secure": "hunter2"},
        "services.mlflow": ["hunter2"],
        "common.region": {"token": "hunter2"},
        "docker:password": "hunter2",
    }
    found = faults(patched("lab", changes))
    assert len(found) == len(changes)
    assert not any("hunter2" in fault for fault in found)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_committed_settings_have_no_fault(environment: str) -> None:
    assert load_file(ROOT / f"Pulumi.{environment}.yaml").common.target.kind


# What each sample has that the models do not say.
OWN = {
    "dev": ("common.target", "platform.gitlab.enabled"),
    "lab": (
        *("common.target", "foundation.object_store.machine", "foundation.vault.machine"),
        *("foundation.cache.machine", "foundation.cache.max_size_gib", "platform.docker.machine"),
        *("foundation.cache.min_free_gib", "foundation.cache.keys_mib", "platform.gitlab.machine"),
        "services.ollama.gpu",
    ),
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_file_needs_only_what_its_operator_knows(environment: str) -> None:
    short: dict[str, Any] = {}
    for key in OWN[environment]:
        value: Any = sample(environment)
        for part in f"datalab:{key}".split("."):
            value = value[part]
        patch(short, {key: value})
    assert load(short, "") == load(sample(environment), "")


def test_the_order_of_a_map_does_not_tell_defaults_from_what_the_file_has() -> None:
    config = sample("dev")
    upstreams = config["datalab:foundation"]["cache"]["upstreams"]
    own = {"kind": "apt", "url": "http://own.example/debian"}
    upstreams |= {"own": own}
    # The engine hands maps on in the order of their keys.
    whole = load({key: json.dumps(value, sort_keys=True) for key, value in config.items()}, "")
    config["datalab:foundation"]["cache"]["upstreams"] = {"own": own}
    short = load({key: json.dumps(value, sort_keys=True) for key, value in config.items()}, "")
    assert list(short.foundation.cache.upstreams) == list(whole.foundation.cache.upstreams)


def test_defaults_are_added_to_and_taken_away() -> None:
    upstreams = "foundation.cache.upstreams"
    config = sample("lab")
    patch(config, {f"{upstreams}.own": {"kind": "apt", "url": "http://own.example/debian"}})
    patch(config, {f"{upstreams}.ghcr": None, f"{upstreams}.ubuntu": {"url": "http://m.example/u"}})
    found = load(config, "").foundation.cache.upstreams
    before = load(sample("lab"), "").foundation.cache.upstreams
    assert set(found) == set(before) - {"ghcr"} | {"own"}
    assert (found["ubuntu"].kind, found["ubuntu"].url) == ("apt", "http://m.example/u")
    patch(config, {"services.kafka.container": {"cpus": 2.0}})
    container = load(config, "").services.kafka.container
    assert (container.cpus, container.memory_mib) == (2.0, 1024)


def test_a_home_folder_is_written_in_full_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder named ~ in the checkout was no backup (issue 10, entry 15).
    monkeypatch.setenv("HOME", "/home/ada")
    paths = [key for key, value in walk(load(sample("dev"), ""), PurePath)]
    assert paths == ["common.trust_path", "common.rescue.path"]
    loaded = load(patched("dev", {path: f"~/{path}" for path in paths}), "")
    for key, value in walk(loaded, PurePath):
        assert value == PurePath("/home/ada", key)
    found = faults(patched("dev", dict.fromkeys(paths, "${HOME}/x")))
    assert [fault.partition(": ")[0] for fault in found] == [f"datalab:{path}" for path in paths]
    assert all("variables are not read here" in fault for fault in found)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_json_text_is_the_same_as_maps(environment: str) -> None:
    config = sample(environment)
    assert load({key: json.dumps(value) for key, value in config.items()}, "") == load(config, "")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", "abc", "[" * 100_000, "9" * 5000])
def test_text_that_is_no_map(text: str) -> None:
    found = faults({**sample("dev"), "datalab:apps": text})
    assert len(found) == 1
    assert found[0].startswith("datalab:apps: ")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_random_damage_is_accepted_or_refused_in_words(environment: str) -> None:
    config = sample(environment)
    accepted = 0
    for seed in range(250):
        changed = mutate(config, seeded(seed))
        assert mutate(config, seeded(seed)) == changed
        loaded = outcome(changed)
        # Damage may have put text in a section's place; that is JSON text already.
        text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in changed.items()}
        assert outcome(text) == loaded
        if isinstance(loaded, Settings):
            accepted += 1
            assert all(certificate_names(loaded, name) for name in endpoints(loaded))
            assert hosts(loaded) is not None
            assert not budget(loaded).errors
    # Otherwise nobody finds out what the program makes of odd but valid settings.
    assert 25 < accepted < 225
    assert config == sample(environment)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    (
        *(
            "common.target",
            "common.domain",
            "foundation.cache",
            "platform.docker.network",
            "datalab:apps",
        ),
    )
)


@given(KEYS | st.text(min_size=1).map(lambda name: f"datalab:{name}"), ANYTHING)
@settings(max_examples=200)
def test_anything_anywhere_is_accepted_or_refused_in_words(key: str, value: Any) -> None:
    outcome(patched("lab", {key: value}))
