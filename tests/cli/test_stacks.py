"""`preview`, `up` and `down`: order, refusals, and what is passed on."""

import json

import pytest

from cli.lib import backend
from layers import LAYERS
from tests.cli.conftest import Checkout

DEV = [f"dev-{layer}" for layer in LAYERS]


@pytest.fixture
def ready(checkout: Checkout) -> Checkout:
    """A checkout after `./lab init dev`."""
    assert checkout.lab("init", "dev") == 0
    checkout.forget()
    return checkout


def test_up_goes_up_and_down_goes_down(ready: Checkout) -> None:
    assert ready.lab("up", "dev", "--yes") == 0
    assert ready.lines == [f"up -s {stack} --yes" for stack in DEV]
    ready.forget()
    assert ready.lab("down", "dev", "--yes") == 0
    assert ready.lines == [
        f"destroy -s {stack} --exclude-protected --yes" for stack in reversed(DEV)
    ]


def test_the_plain_command_is_shown(ready: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    ready.lab("up", "dev", "foundation", "--yes", "--", "--parallel", "4")
    assert "$ pulumi up -s dev-foundation --yes --parallel 4" in capsys.readouterr().err
    assert ready.lines == ["up -s dev-foundation --yes --parallel 4"]


def test_up_stops_at_the_first_failure_with_its_code(ready: Checkout) -> None:
    ready.fail_at("up -s dev-services")
    assert ready.lab("up", "dev", "--yes") == 255
    assert ready.lines[-1] == "up -s dev-services --yes"


def test_upper_layer_says_which_command_comes_first(
    ready: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("up", "preview"):
        assert ready.lab(verb, "dev", "services") == 1
        assert capsys.readouterr().err == (
            "lab: services needs foundation and platform, not up yet: "
            "run ./lab up dev, which brings up every layer\n"
        )
    assert ready.lines == []


def test_before_init_it_says_so(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkout.lab("up", "dev") == 1
    assert "./lab init dev" in capsys.readouterr().err
    assert checkout.lab("down", "dev") == 0
    assert checkout.lines == []


@pytest.mark.slow
def test_preview_of_all_stops_above_what_is_not_up(ready: Checkout) -> None:
    assert ready.lab("preview", "dev") == 0
    assert ready.lines == ["preview -s dev-foundation"]
    ready.lab("up", "dev", "--yes")
    ready.forget()
    assert ready.lab("preview", "dev", "--", "--diff") == 0
    assert ready.lines == [f"preview -s {stack} --diff" for stack in DEV]


def test_preview_for_another_program(ready: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    ready.lab("up", "dev", "foundation", "--yes")
    urn = "urn:pulumi:dev-foundation::datalab::docker:index/volume:Volume::s3-volume"
    steps = [{"op": "create", "urn": urn, "newState": {"inputs": {"name": "a-value"}}}]
    (ready.fake / "preview.json").write_text(json.dumps({"steps": steps}))
    capsys.readouterr()
    assert ready.lab("preview", "dev", "--json") == 0
    told = capsys.readouterr().out
    found = json.loads(told)
    assert list(found) == ["foundation", "platform"]
    (step,) = found["foundation"]
    assert (step["op"], step["name"]) == ("create", "s3-volume")
    assert "a-value" not in told


@pytest.mark.slow
def test_foundation_is_rescued_after_each_up(ready: Checkout) -> None:
    ready.lab("up", "dev", "--yes")
    copy = ready.root / ".state" / "rescue" / "dev-foundation.json"
    assert json.loads(copy.read_text())["deployment"]["resources"][0]["urn"] == "urn:dev-foundation"
    assert copy.stat().st_mode & 0o077 == 0
    ready.lab("up", "dev", "foundation", "--yes")
    assert copy.with_suffix(".previous.json").exists()
    assert not list(copy.parent.glob(".*new"))


@pytest.mark.slow
def test_data_goes_only_after_its_name_was_typed(ready: Checkout, terminal: object) -> None:
    ready.lab("up", "dev", "--yes")
    ready.forget()
    assert ready.lab("down", "dev", "--data", "--yes") == 2  # no terminal
    terminal("lab")  # type: ignore[operator]
    assert ready.lab("down", "dev", "--data") == 1
    assert ready.lines == []
    terminal("dev")  # type: ignore[operator]
    assert ready.lab("down", "dev", "--data") == 0
    assert ready.lines[-1] == "destroy -s dev-foundation --ignore-protect --yes"


@pytest.mark.slow
def test_every_call_gets_the_environments_backend_and_passphrase(ready: Checkout) -> None:
    ready.lab("up", "dev", "--yes")
    assert {call["env"]["PULUMI_BACKEND_URL"] for call in ready.calls} == {backend.url("dev")}
    assert {call["env"]["PULUMI_CONFIG_PASSPHRASE"] for call in ready.calls} == {"dev"}


def test_state_folder_is_the_owners_alone(ready: Checkout) -> None:
    assert (ready.root / ".state" / "dev").stat().st_mode & 0o077 == 0


def test_nothing_can_differ_of_what_is_not_up(
    ready: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ready.lab("drift", "dev") == 0
    said = "not up, so nothing of it can differ: foundation, platform, services, apps"
    assert said in capsys.readouterr().err
    assert ready.lines == []


def test_drift_for_another_program(ready: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    ready.lab("up", "dev", "foundation", "--yes")
    urn = "urn:pulumi:dev-foundation::datalab::docker:index/volume:Volume::s3-volume"
    old, new = ({"type": urn.split("::")[2], "inputs": {"name": name}} for name in ("a", "b"))
    steps = [{"op": "update", "urn": urn, "oldState": old, "newState": new}]
    (ready.fake / "preview.json").write_text(json.dumps({"steps": steps}))
    capsys.readouterr()
    ready.lab("drift", "dev", "--json")
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["foundation"]
    (step,) = found["foundation"]["resources"]
    assert (step["op"], step["name"]) == ("update", "s3-volume")
    assert "preview -s dev-foundation" not in ready.lines
