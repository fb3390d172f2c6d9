"""Keys of an earlier release are read for one release more, and named with what to do."""

import copy
import json
from typing import Any

import pulumi
import pytest

from settings import ENVIRONMENTS, SettingsError, load
from settings.program import configuration
from tests.harness.patched import sample


def earlier(environment: str, **more: Any) -> dict[str, Any]:
    """The sample with the keys that `common.target` has replaced, as commit b54ff9e had them."""
    config = sample(environment)
    target = config["datalab:common"].pop("target")
    place = target.pop("kind")
    if "node" in target:
        target["name"] = target.pop("node")
    owner = {"docker": "engine", "proxmox": "node"}[place]
    config["datalab:common"] |= {"place": place, owner: target, **more}
    return config


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_they_mean_what_the_target_means(environment: str) -> None:
    assert load(earlier(environment), "") == load(sample(environment), "")
    other = {"dev": "node", "lab": "engine"}[environment]
    assert load(earlier(environment, **{other: None}), "") == load(sample(environment), "")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_callers_configuration_stays_as_it_was(environment: str) -> None:
    """Entries that the file has not are taken away in what is read, not in what was given."""
    config = earlier(environment)
    del config["datalab:foundation"]["cache"]["upstreams"]["pulumi"]
    before = copy.deepcopy(config)
    load(config, "")
    assert config == before


def faults(config: dict[str, Any]) -> list[str]:
    """What is wrong with a configuration."""
    with pytest.raises(SettingsError) as caught:
        load(config, "f.yaml")
    return list(caught.value.faults)


def test_faults_of_them_are_told_where_the_file_will_have_them() -> None:
    config = earlier("dev")
    config["datalab:common"]["engine"]["cores"] = 0
    assert faults(config) == [
        "datalab:common.target.cores: 0 is below the minimum of 1 (Cores of the machine)",
        "datalab:common.place, datalab:common.engine: common.target has replaced them, and the "
        "next release reads it alone; `./lab check ENV --fix` rewrites the file",
    ]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"node": {"name": "pve"}}, "datalab:common.node"),
        ({"place": "kubernetes"}, "datalab:common.target.kind"),
        ({"place": None}, "datalab:common.target.kind"),
        ({"place": ["docker"]}, "datalab:common.target.kind"),
        ({"engine": None}, "datalab:common.target.memory_mib"),
        ({"engine": 5}, "datalab:common.target"),
        ({"target": {"kind": "docker"}}, "datalab:common.place"),
    ],
)
def test_one_that_contradicts_is_refused(more: dict[str, Any], key: str) -> None:
    found = faults(earlier("dev", **more))
    assert key in [fault.partition(": ")[0] for fault in found]


def test_the_program_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    for config in (sample("dev"), earlier("dev")):
        pulumi.runtime.set_all_config({k: json.dumps(v) for k, v in config.items()}, [])
        configuration("dev")
    pulumi.runtime.set_all_config({}, [])
    assert warned == [
        "Pulumi.dev.yaml: datalab:common.place, datalab:common.engine: common.target has replaced "
        "them, and the next release reads it alone; `./lab check dev --fix` rewrites the file"
    ]
