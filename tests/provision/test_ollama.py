"""`provision ollama` against a stand-in: no model can be had on a test machine."""

from collections.abc import Iterator

import pytest

from tests.harness.ollama import Ollama
from tests.harness.process import clean_environment
from tests.harness.vault_answers import serving
from tests.provision.lab import ROOT, Lab

pytestmark = pytest.mark.service


@pytest.fixture
def server(servers: Lab) -> Iterator[Ollama]:
    fake = servers.ollama
    fake.models, fake.pulls, fake.streams, fake.lie = set(), [], [], False
    yield fake


def pull(servers: Lab, model: str) -> tuple[int, str]:
    words = ("ollama", "--url", servers.ollama.url, "--model", model)
    return servers.run(*words, env=clean_environment(PYTHONPATH=str(ROOT)))


def test_a_model_is_pulled_once(servers: Lab, server: Ollama) -> None:
    code, output = pull(servers, "llama3.2:1b")
    assert code == 0, output
    assert "pulled llama3.2:1b" in output
    assert pull(servers, "llama3.2:1b") == (0, "ollama llama3.2:1b: ready, nothing to do\n")
    assert server.pulls == ["llama3.2:1b"]


def test_no_tag_means_latest(servers: Lab, server: Ollama) -> None:
    server.models.add("smollm:latest")
    assert pull(servers, "smollm")[0] == 0
    assert server.pulls == []


def test_a_failure_inside_the_stream_fails(servers: Lab, server: Ollama) -> None:
    server.streams = [[{"status": "pulling manifest"}, {"error": "file does not exist"}]]
    code, output = pull(servers, "no-such-model")
    assert code == 1
    assert "cannot pull no-such-model:latest: file does not exist" in output
    assert len(server.pulls) == 1  # Ollama's own no is final


def test_a_cut_stream_is_resumed(servers: Lab, server: Ollama) -> None:
    server.streams = [[{"status": "pulling manifest"}, {"cut": True}]]
    code, output = pull(servers, "resumed:1b")
    assert code == 0, output
    assert "Ollama resumes it" in output
    assert len(server.pulls) == 2


def test_a_stream_that_is_always_cut_ends(servers: Lab, server: Ollama) -> None:
    server.streams = [[{"status": "pulling manifest"}, {"cut": True}]] * 9
    code, output = pull(servers, "never:1b")
    assert code == 1
    assert "Traceback" not in output
    assert len(server.pulls) == 3


def test_success_without_the_model_fails(servers: Lab, server: Ollama) -> None:
    server.lie = True
    code, output = pull(servers, "lied:1b")
    assert code == 1
    assert "does not list it" in output


def test_a_project_gets_the_address(servers: Lab, server: Ollama) -> None:
    code, output = servers.run(*servers.ask(42, "ollama", model="library/smollm:135m"))
    assert code == 0, output
    found = servers.read("projects/42/ollama/library/smollm:135m")
    assert found["OLLAMA_HOST"] == server.url
    assert found["OLLAMA_MODEL"] == "smollm:135m"


@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        ("registry.ollama.ai/library/smollm:135m", "smollm:135m"),
        ("Library/smollm:135m", "smollm:135m"),
        ("registry.ollama.ai/me/mine", "me/mine:latest"),
        ("hf.co/Org/Model-GGUF:Q4_K_M", "hf.co/Org/Model-GGUF:Q4_K_M"),
        ("hf.co/library/model:q4", "hf.co/library/model:q4"),
    ],
)
def test_a_model_is_found_by_the_name_that_ollama_lists(
    servers: Lab, server: Ollama, asked: str, listed: str
) -> None:
    words = servers.ask(42, "ollama", model=asked)
    for expected in ("pulled", "nothing to do"):
        code, output = servers.run(*words)
        assert (code, expected in output) == (0, True), output
    record = asked if ":" in asked else f"{asked}:latest"
    assert servers.read(f"projects/42/ollama/{record}")["OLLAMA_MODEL"] == listed


def test_names_that_differ_in_case_are_one_model(servers: Lab, server: Ollama) -> None:
    assert pull(servers, "hf.co/Org/Model:Q4_K_M")[0] == 0
    code, output = servers.run(*servers.ask(42, "ollama", model="hf.co/org/model:q4_k_m"))
    assert code == 0, output
    assert server.pulls == ["hf.co/Org/Model:Q4_K_M"]
    found = servers.read("projects/42/ollama/hf.co/org/model:q4_k_m")
    assert found["OLLAMA_MODEL"] == "hf.co/Org/Model:Q4_K_M"


@pytest.mark.parametrize(
    "name", ["", "../a", "a/../b", "a b", "a;b", "/a", "a:", "a:b:c", "ä", "a/b/c/d"]
)
def test_hostile_names_are_refused_before_anything_is_touched(
    servers: Lab, server: Ollama, name: str
) -> None:
    code, output = pull(servers, name)
    assert (code, "ollama.model:" in output) == (2, True), output
    assert server.pulls == []


def test_a_server_that_is_down_is_one_line(servers: Lab, server: Ollama) -> None:
    code, output = servers.run("ollama", "--url", "http://127.0.0.1:9", "--model", "a")
    assert code == 1
    assert "Ollama at http://127.0.0.1:9 failed" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "{}", "[]", '{"models": [1]}'])
def test_what_answers_in_ollamas_place_is_one_line(servers: Lab, body: str) -> None:
    with serving() as page:
        page.answers = {"read": (200, body)}
        code, output = servers.run("ollama", "--url", page.address, "--model", "a")
    assert (code, "is not Ollama" in output, output.count("\n")) == (1, True, 1), output
