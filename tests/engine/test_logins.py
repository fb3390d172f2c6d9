"""Logins of the cache's upstreams on the real engine: what a state and a preview show of them."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from rehearsal.scratch import PASSWORD
from tests.engine.lab import lab

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("env", ["dev", "lab"])
def test_passwords_are_in_no_plain_state(env: str, tmp_path: Path) -> None:
    container = {"container": {"memory_mib": 128}} if env == "dev" else {}
    hub = {"kind": "oci", "url": "https://registry-1.docker.io", "registry": "docker.io"}
    change = {
        "foundation.cache.upstreams": {
            "index": {"kind": "pypi", "url": "https://index.example/simple", "user": "someone"},
            "hub": {**hub, **container, "user": "else"},
        },
        "common.unpinned_downloads": "allow",
    }
    with lab(env, tmp_path / "it", change) as here:
        answer = here.up("foundation")
        assert answer.code == 0, answer.said[-4000:]
        here.at_rest("foundation")
        state = "".join(
            path.read_text() for path in here.scratch.state.rglob("*.json") if path.is_file()
        )
        export = ("stack", "export", "--show-secrets", "-s", here.scratch.stack("foundation"))
        whole = here.scratch.engine.capture(*export)
        word = base64.b64encode(f"someone:{PASSWORD}".encode()).decode()
        for secret in (PASSWORD, word):
            assert secret in whole
            assert secret not in state + "".join(here.said)
        # A changed password reaches what has it.
        key, stack = "datalab:upstreamPasswords", here.scratch.stack("foundation")
        other = json.dumps({"index": "another", "hub": PASSWORD})
        here.scratch.engine.capture("config", "set", "--secret", key, "-s", stack, text=other)
        changed = {"dev": "cache-container", "lab": "cache-roles"}[env]
        assert set(here.steps("foundation")) == {changed}
        # Settings without a user: the secret would be a fault.
        config = yaml.safe_load((file := here.scratch.folder / f"Pulumi.{env}.yaml").read_text())
        config["config"]["datalab:foundation"]["cache"]["upstreams"] = {}
        file.write_text(json.dumps(config))
        assert f"config rm {key}" in here.preview("foundation").said
        here.scratch.give_secrets()
        assert key not in file.read_text()
