"""`./lab state`: all four stacks move together or not at all, and the foundation comes back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cli.lib import backend
from cli.lib.pulumi import SECRET_MARK, Engine
from layers import LAYERS
from tests.cli.conftest import Checkout

OUTPUTS = {
    "object_store": {"endpoint": "https://store.lab.home.arpa:9000", "region": "eu-west-1"},
    "credentials": {"state": {"access_key": "state", "secret_key": "planted-secret"}},
    "ca_certificate": "-----BEGIN CERTIFICATE-----\n",
}
THERE = backend.s3_url("https://store.lab.home.arpa:9000", "eu-west-1")


@pytest.fixture
def lab(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """The lab with all four layers up, its state in the checkout."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "own words")
    stacks: dict[str, Any] = {
        f"lab-{layer}": [{"urn": f"urn:{layer}", "id": "1", "type": "t"}] for layer in LAYERS
    }
    (checkout.fake / "state.json").write_text(json.dumps({backend.url("lab"): stacks}))
    (checkout.fake / "outputs.json").write_text(json.dumps(OUTPUTS))
    return checkout


@pytest.mark.slow
def test_moves_all_four_and_then_says_so(lab: Checkout) -> None:
    here = backend.url("lab")
    assert lab.lab("state", "move", "lab") == 0
    assert lab.state(THERE) == lab.state(here)
    assert backend.url("lab") == THERE
    lab.forget()
    assert lab.lab("preview", "lab") == 0
    assert {call["env"]["PULUMI_BACKEND_URL"] for call in lab.calls} == {THERE}
    files = {call["env"]["AWS_SHARED_CREDENTIALS_FILE"] for call in lab.calls}
    assert files == {str(backend.folder("lab") / "credentials")}
    assert lab.lab("state", "move", "lab") == 0  # once more changes nothing


@pytest.mark.slow
def test_the_stores_key_is_in_no_command_and_readable_by_its_owner_alone(
    lab: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.lab("state", "move", "lab")
    assert not [call for call in lab.calls if "planted-secret" in call["line"] + call["stdin"]]
    assert "planted-secret" not in "".join(capsys.readouterr())
    assert (backend.folder("lab") / "credentials").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_the_key_that_opens_the_state_changes_while_root_opens_it(
    lab: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.lab("state", "move", "lab")
    stacks = json.loads((lab.fake / "state.json").read_text())
    root = {
        "urn": "urn:pulumi:lab-foundation::object-store-root",
        "type": "random:index/randomPassword:RandomPassword",
        "outputs": {"result": {SECRET_MARK: "1b4706", "plaintext": '"root-password"'}},
    }
    stacks[THERE]["lab-foundation"] = [root]
    (lab.fake / "state.json").write_text(json.dumps(stacks))
    new = {"access_key": "state", "secret_key": "the-new-key"}
    changed = {**OUTPUTS, "credentials": {"state": new}}
    (lab.fake / "outputs.json").write_text(json.dumps(changed))
    file = backend.folder("lab") / "credentials"
    used: list[tuple[str, bool]] = []
    run = Engine.run

    def watched(self: Engine, *words: str) -> int:
        used.append((words[words.index("-s") + 1], "root-password" in file.read_text()))
        return run(self, *words)

    monkeypatch.setattr(Engine, "run", watched)
    assert lab.lab("secrets", "rotate", "object-store-state", "lab", "--yes") == 0
    assert used[0] == ("lab-foundation", True)
    assert [stack for stack, root in used[1:] if not root] == [f"lab-{layer}" for layer in LAYERS]
    assert "the-new-key" in file.read_text()
    assert not [call for call in lab.calls if "root-password" in call["line"] + call["stdin"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["stack output", *(f"stack import -s lab-{layer}" for layer in LAYERS)]
)
def test_stopped_on_the_way_the_old_backend_stays(lab: Checkout, line: str) -> None:
    here = backend.url("lab")
    lab.fail_at(line)
    assert lab.lab("state", "move", "lab") == 255
    assert backend.url("lab") == here
    lab.recover()
    assert lab.lab("state", "move", "lab") == 0
    assert lab.state(THERE) == lab.state(here)


def test_a_full_stack_there_is_not_emptied_from_here(lab: Checkout) -> None:
    """After a rescue only the foundation is here; the others are in the store still."""
    here = backend.url("lab")
    held = lab.state(here)
    only = {"lab-foundation": held["lab-foundation"], "lab-apps": []}
    (lab.fake / "state.json").write_text(json.dumps({here: only, THERE: held}))
    assert lab.lab("state", "move", "lab") == 0
    assert lab.state(THERE) == held


def test_move_before_the_store_is_up(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "own words")
    assert checkout.lab("state", "move", "lab") == 1
    assert "./lab up lab foundation" in capsys.readouterr().err


@pytest.mark.slow
def test_data_of_a_moved_state_is_not_deleted_under_it(
    lab: Checkout, terminal: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    lab.lab("state", "move", "lab")
    terminal("lab")
    assert lab.lab("down", "lab", "--data") == 1
    assert "./lab state rescue lab" in capsys.readouterr().err
    assert not [line for line in lab.lines if line.startswith("destroy")]


@pytest.mark.slow
def test_rescue_brings_the_foundation_back(lab: Checkout) -> None:
    here = backend.url("lab")
    assert lab.lab("up", "lab", "foundation", "--yes") == 0
    rescued = lab.state(here)["lab-foundation"]
    lab.lab("state", "move", "lab")
    # The store and everything in it is gone, and so is the old state.
    (lab.fake / "state.json").write_text("{}")
    assert lab.lab("state", "rescue", "lab", "--yes") == 0
    assert backend.url("lab") == here
    assert lab.state(here)["lab-foundation"] == rescued


def test_rescue_keeps_what_it_replaces(lab: Checkout) -> None:
    lab.lab("up", "lab", "foundation", "--yes")
    assert lab.lab("state", "rescue", "lab", "--yes") == 0
    kept = lab.root / ".state" / "rescue" / "lab-foundation.before-rescue.json"
    assert "deployment" in json.loads(kept.read_text())


@pytest.mark.parametrize("content", [None, "", "{}", '{"deployment":'])
def test_rescue_without_a_good_copy_changes_nothing(
    lab: Checkout, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        copy = lab.root / ".state" / "rescue" / "lab-foundation.json"
        copy.parent.mkdir(parents=True)
        copy.write_text(content)
    assert lab.lab("state", "rescue", "lab", "--yes") == 1
    assert "rescue" in capsys.readouterr().err
    assert lab.calls == []


def test_rescue_asks(lab: Checkout, terminal: Callable[..., None]) -> None:
    lab.lab("up", "lab", "foundation", "--yes")
    lab.forget()
    assert lab.lab("state", "rescue", "lab") == 1
    terminal("n")
    assert lab.lab("state", "rescue", "lab") == 1
    assert lab.lines == []
