"""The settings as the program gets them."""

import json
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from layers import LAYERS
from settings import load
from settings.program import configuration, split_stack
from tests.harness.patched import patched, sample

TOKEN = "datalab:proxmoxApiToken"
PASSWORDS = "datalab:upstreamPasswords"
UPSTREAM = "foundation.cache.upstreams.index"
INDEX = {"kind": "pypi", "url": "https://index.example/simple", "user": "someone"}


@pytest.fixture
def configure() -> Iterator[Any]:
    """Sets the configuration of the program as the engine does, in which all values are text."""

    def set_config(config: dict[str, Any], secret: tuple[str, ...] = ()) -> None:
        values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in config.items()}
        pulumi.runtime.set_all_config(values, list(secret))

    yield set_config
    pulumi.runtime.set_all_config({}, [])


def test_stacks() -> None:
    assert split_stack("dev-foundation", LAYERS) == ("dev", "foundation")
    for name in ("dev", "foundation", "prod-apps", "dev-network", "lab-dev-apps", "-apps", "dev-"):
        with pytest.raises(pulumi.RunError, match=r"the stacks are dev-foundation, .*, lab-apps$"):
            split_stack(name, LAYERS)


def test_dev_needs_no_secret(configure: Any) -> None:
    configure(sample("dev"))
    settings, secrets = configuration("dev")
    assert settings == load(sample("dev"), "dev")
    assert secrets.proxmox_api_token is None


def test_lab_needs_the_token(configure: Any) -> None:
    configure(sample("lab"))
    with pytest.raises(pulumi.RunError, match=r"proxmoxApiToken: is missing; `\./lab init lab`"):
        configuration("lab")


def test_token_is_a_secret_output(configure: Any) -> None:
    configure({**sample("lab"), TOKEN: "root@pam!lab=1b2c"}, (TOKEN,))
    _, secrets = configuration("lab")

    async def look() -> tuple[bool, str | None]:
        token = secrets.proxmox_api_token
        assert token is not None
        return await token.is_secret(), await token.future()

    assert pulumi.runtime.sync_await._sync_await(look()) == (True, "root@pam!lab=1b2c")


@pytest.mark.parametrize("given", ["hunter2", '["hunter2"]', '{"index": ""}', '{"index": "a\\nb"}'])
def test_passwords_are_a_map(configure: Any, given: str) -> None:
    configure({**patched("dev", {UPSTREAM: INDEX}), PASSWORDS: given}, (PASSWORDS,))
    with pytest.raises(pulumi.RunError, match=f"{PASSWORDS}: is not a JSON map") as caught:
        configuration("dev")
    assert "hunter2" not in str(caught.value)


def test_a_password_is_missing(configure: Any) -> None:
    config = patched("dev", {UPSTREAM: INDEX})
    for secret in ({}, {PASSWORDS: "{}"}, {PASSWORDS: '{"hunter2": "x"}'}):
        configure({**config, **secret}, tuple(secret))
        with pytest.raises(pulumi.RunError) as caught:
            configuration("dev")
        assert str(caught.value) == (
            f"Pulumi.dev.yaml: {PASSWORDS}: lacks the password of foundation.cache.upstreams: "
            f"index; `pulumi config set --secret {PASSWORDS} -s dev-foundation` reads all from "
            'standard input: {"index": "PASSWORD"}'
        )


@pytest.mark.parametrize(
    ("change", "remedy"),
    [({}, f"`pulumi config rm {PASSWORDS} -s dev-foundation`"), ({UPSTREAM: INDEX}, "config set")],
)
def test_a_password_is_too_many(configure: Any, change: dict[str, Any], remedy: str) -> None:
    given = '{"index": "hunter2", "hunter3": "hunter4"}'
    configure({**patched("dev", change), PASSWORDS: given}, (PASSWORDS,))
    with pytest.raises(pulumi.RunError, match="has a password for what is no upstream") as caught:
        configuration("dev")
    assert remedy in str(caught.value)
    assert "hunter" not in str(caught.value)


def test_passwords_are_secret_outputs(configure: Any) -> None:
    config = patched("dev", {UPSTREAM: INDEX})
    configure({**config, PASSWORDS: '{"index": "hunter2"}'}, (PASSWORDS,))
    _, given = configuration("dev")

    async def look() -> tuple[bool, str | None]:
        password = given.upstream_passwords["index"]
        return await password.is_secret(), await password.future()

    assert pulumi.runtime.sync_await._sync_await(look()) == (True, "hunter2")


def test_plain_token_is_refused_and_not_shown(configure: Any) -> None:
    configure({**sample("lab"), TOKEN: "hunter2"})
    with pytest.raises(pulumi.RunError, match="is in plain text") as caught:
        configuration("lab")
    assert "hunter2" not in str(caught.value)


def test_secret_inside_the_tree_is_refused(configure: Any) -> None:
    configure(sample("dev"), ("datalab:services",))
    with pytest.raises(pulumi.RunError) as caught:
        configuration("dev")
    assert "Pulumi.dev.yaml: datalab:services: no secret belongs here" in str(caught.value)


def test_faults_are_one_error(configure: Any) -> None:
    config = sample("lab")
    config["datalab:platform"]["docker"]["machine"]["memory_mib"] = 20480
    configure({**config, "datalab:network": "{}"})
    with pytest.raises(pulumi.RunError) as caught:
        configuration("lab")
    assert "datalab:network: unknown setting" in str(caught.value)
    del config["datalab:platform"]["docker"]["machine"]["gpu"]
    configure(config)
    with pytest.raises(pulumi.RunError) as caught:
        configuration("lab")
    assert "services.ollama.gpu" in str(caught.value)
    assert "2048 MiB short" in str(caught.value)
    assert "`./lab budget lab` shows the whole plan" in str(caught.value)
