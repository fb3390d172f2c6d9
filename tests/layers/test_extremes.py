"""Every free setting at the ends that the model allows, given to what reads it (#10, entry 11)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from layers import LAYERS
from settings import ENVIRONMENTS, load
from settings.mirrors import users
from settings.program import MOST_PASSWORD
from tests.harness import readers, refused, rendered
from tests.harness.deploy import Deployed, deploy_layer
from tests.harness.extremes import Extremes, extremes
from tests.harness.patched import ROOT
from tests.targets.test_proxmox_api import TABLE, refusals

# render needs the GPU of another vendor than the sample's (settings/valid/gpu-of-amd.yaml), and
# GitLab's machine has no balloon; of images from packages Vault has none.
ONLY_WITH_OTHERS = {
    "common.target.images",
    "platform.gitlab.machine.floor_mib",
    "services.ollama.gpu_type",
}


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def ends(request: pytest.FixtureRequest) -> Extremes:
    return extremes(request.param)


@pytest.mark.slow
def test_every_template_has_what_reads_it() -> None:
    """A new template, or one more file of a role, needs a row in readers.READERS."""
    folders = ("layers", "ansible/roles")
    found = {str(path.relative_to(ROOT)) for top in folders for path in (ROOT / top).rglob("*.j2")}
    apart = {
        "layers/foundation/files/cache/macros.j2",  # part of nginx.conf.j2
        "layers/services/files/postgresql-workers.sql.j2",  # of a constant
    }
    assert {template for template, _ in readers.READERS.values() if template} == found - apart


@pytest.mark.service
@pytest.mark.parametrize("name", ["cache/override.conf.j2", "vault/vault.service.j2"])
def test_a_key_that_systemd_would_ignore_is_refused(name: str) -> None:
    text = "[Service]\nExecStart=/bin/true\nBogus=1\n"
    assert "Unknown key 'Bogus'" in readers.refusal({name: text}, name)


@pytest.mark.slow
def test_every_setting_has_ends(ends: Extremes) -> None:
    """A new setting without a least and a most of its own needs a row in extremes.TEXTS."""
    assert ends.missing == []
    assert set(ends.refused) <= ONLY_WITH_OTHERS
    assert len(ends.ends) > 90


def deployed(environment: str, config: Mapping[str, Any]) -> dict[str, Deployed]:
    done: dict[str, Deployed] = {}
    passwords = dict.fromkeys(
        users(load(config, environment).foundation.cache), "p" * MOST_PASSWORD
    )
    secret = {"datalab:upstreamPasswords": json.dumps(passwords)}
    for layer in LAYERS:
        done[layer] = deploy_layer(layer, environment, {**config, **secret}, done)
    return done


def node(done: Mapping[str, Deployed]) -> Iterator[str]:
    """What the node's API has against a deployment."""
    for layer in done.values():
        for resource in layer.resources:
            kind = resource.type.rpartition(":")[2]
            if resource.type.startswith("proxmoxve:") and kind in TABLE["resources"]:
                found = refusals(kind, resource.inputs)
                yield from (f"{resource.name}.{key}: {text}" for key, text in found.items())


@pytest.mark.service
def test_what_reads_the_settings_takes_them_at_their_ends(ends: Extremes) -> None:
    seen: dict[str, set[str]] = {}
    found: list[str] = []
    for config in ends.configurations:
        done = deployed(ends.environment, config)
        files = rendered.files(done)
        found += [*refused.faults(done), *node(done)]
        for name, text in files.items():
            if text not in seen.setdefault(name, set()):
                seen[name].add(text)
                found += filter(None, [readers.refusal(files, name)])
    assert found == []
    # What nothing reads here is the same whatever is set.
    assert {name for name in seen if not readers.reader(name) and len(seen[name]) > 1} == set()
    read = {end for end in readers.READERS for name in seen if name.endswith(end)}
    missing = {"dev": "ansible/", "lab": "Container"}[ends.environment]
    wanted = {end for end, (template, _) in readers.READERS.items() if missing not in template}
    assert wanted - read <= {"/debian.sources.j2"}
