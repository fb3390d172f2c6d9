"""`./lab init`: what it makes, what it asks, and that no secret leaves the pipe."""

import difflib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.commands.init import links
from cli.commands.init import upstreams as init
from cli.lib import backend, stackfile
from layers import LAYERS
from settings import load_file
from tests.cli.conftest import Checkout
from tests.harness.process import free_port

ARCHIVES, FILE_HOSTS = init.archives, links.file_hosts
TOKEN = "pulumi@pam!lab=11111111-2222-3333-4444-555555555555"


@pytest.fixture(autouse=True)
def indexes(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's own indexes."""
    monkeypatch.setattr(init, "pip_index", lambda: "https://pip.example/simple")
    monkeypatch.setattr(init, "npm_registry", lambda: "https://npm.example/")
    monkeypatch.setattr(links, "file_hosts", lambda *_: [])


def files(checkout: Checkout) -> dict[str, bytes]:
    """Every file of the checkout."""
    found = (path for path in checkout.root.rglob("*") if path.is_file())
    return {str(path.relative_to(checkout.root)): path.read_bytes() for path in found}


def added(before: str, after: str) -> str:
    """What was added to a text; fails if anything else of it has changed."""
    edits = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    assert {edit[0] for edit in edits} <= {"equal", "insert"}
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return "".join(line[2:] for line in lines if not line.startswith(" "))


def test_makes_what_is_missing_and_nothing_twice(checkout: Checkout) -> None:
    assert checkout.lab("init", "dev") == 0
    stacks = [f"stack init dev-{layer} --non-interactive" for layer in LAYERS]
    assert checkout.lines[:4] == stacks
    made = files(checkout)
    checkout.forget()
    assert checkout.lab("init", "dev") == 0
    assert not [line for line in checkout.lines if line.startswith("stack init")]
    assert files(checkout) == made


def test_interrupted_between_stacks_it_goes_on(checkout: Checkout) -> None:
    checkout.fail_at("stack init dev-services")
    assert checkout.lab("init", "dev") == 255
    checkout.recover()
    assert checkout.lab("init", "dev") == 0
    assert sorted(checkout.state(backend.url("dev"))) == sorted(f"dev-{x}" for x in LAYERS)


@pytest.mark.slow
def test_the_operators_indexes_become_upstreams(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {"pypi": ["https://files.example"], "npm": []}
    monkeypatch.setattr(links, "file_hosts", lambda kind, _: hosts[kind])
    file = checkout.root / "Pulumi.dev.yaml"
    before = file.read_text()
    assert checkout.lab("init", "dev") == 0
    assert file.read_text() == before  # it is committed, and nobody asked for that
    assert checkout.lab("init", "dev", "--indexes") == 0
    assert added(before, file.read_text()) == (
        "        pypi:\n"
        "          kind: pypi\n"
        "          url: https://pip.example/simple\n"
        "          files:\n"
        "            - https://files.example\n"
        "        npm:\n"
        "          kind: npm\n"
        "          url: https://npm.example/\n"
    )


def test_an_index_that_does_not_answer_is_added_without_hosts(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is this machine's own, and the lab's cache has nothing to do with it."""
    index = f"http://127.0.0.1:{free_port()}/simple"
    monkeypatch.setattr(links, "file_hosts", FILE_HOSTS)
    monkeypatch.setattr(init, "pip_index", lambda: index)
    monkeypatch.setattr(init, "npm_registry", lambda: None)
    ((_, written),) = init.indexes(load_file(checkout.root / "Pulumi.dev.yaml"))
    assert written == {"kind": "pypi", "url": index, "allow_http": True}
    said, found = capsys.readouterr().err.splitlines()[0].split(" (")
    assert said == f"lab: {index}/pip/ does not answer"
    assert found.endswith(
        "Connection refused); if it links to other hosts set foundation.cache.upstreams.pypi.files"
    )


def test_the_operators_debian_archive_becomes_an_upstream(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init, "archives", ARCHIVES)
    told = (
        *("http://mirror.example/debian/", "http://mirror.example/debian/"),
        *("http://me:planted@mirror.example/debian-security", "https://vendor.example/apt"),
    )
    answers = {"apt-get": "\n".join(told)}
    monkeypatch.setattr(init, "run", lambda command: answers.get(command[0]))
    file = checkout.root / "Pulumi.lab.yaml"
    settings = load_file(file)
    (addition,) = [found for found in init.indexes(settings) if found[1]["kind"] == "apt"]
    path, value = addition
    assert path == ("config", "datalab:foundation", "cache", "upstreams", "debian")
    assert value == {"kind": "apt", "url": "http://mirror.example/debian"}
    (checkout.root / file.name).write_text(stackfile.with_value(file.read_text(), path, value))
    again = init.indexes(load_file(file))
    assert [found for found in again if found[1]["kind"] == "apt"] == []


@pytest.mark.parametrize(
    "base",
    [
        "http://cache.lab.home.arpa:8480",  # of lab, to a laptop
        "http://192.168.1.103:8480",
        "http://localhost:8480",  # of dev
        "http://127.0.0.1:8480",
        "http://cache:8480",  # in dev's network
        "https://gitlab.lab.home.arpa",
    ],
)
@pytest.mark.parametrize("env", ["dev", "lab"])
def test_the_labs_own_names_are_no_upstreams(
    checkout: Checkout,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    base: str,
    env: str,
) -> None:
    """A laptop that uses the lab's cache would give it itself as its upstream (#10.19)."""
    monkeypatch.setattr(init, "archives", ARCHIVES)
    monkeypatch.setattr(init, "pip_index", lambda: f"{base}/pypi/simple/")
    monkeypatch.setattr(init, "npm_registry", lambda: f"{base}/npm/")
    monkeypatch.setattr(init, "run", lambda _: f"{base}/debian/\n{base}/debian-security")
    assert list(init.indexes(load_file(checkout.root / f"Pulumi.{env}.yaml"))) == []
    said = "".join(capsys.readouterr())
    for name in ("pypi", "npm", "debian", "debian-security"):
        assert f"set foundation.cache.upstreams.{name}.url" in said
    assert said.count("the lab's own") == 4


def test_a_mirror_in_the_labs_domain_is_an_upstream(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The domain may have more in it than the lab; so may the machine."""
    monkeypatch.setattr(init, "pip_index", lambda: "https://devpi.lab.home.arpa/simple")
    monkeypatch.setattr(init, "npm_registry", lambda: "http://localhost:4873/")
    found = init.indexes(load_file(checkout.root / "Pulumi.lab.yaml"))
    assert [value["kind"] for _, value in found] == ["pypi", "npm"]


def test_an_index_with_credentials_is_not_written(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(init, "pip_index", lambda: "https://me:planted@pip.example/simple")
    assert checkout.lab("init", "dev") == 0
    assert "pypi" not in (checkout.root / "Pulumi.dev.yaml").read_text()
    said = "".join(capsys.readouterr())
    assert "foundation.cache.upstreams.pypi.url" in said
    assert "planted" not in said


@pytest.mark.slow
def test_lab_asks_for_passphrase_twice_and_token_once(
    checkout: Checkout, terminal: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init, "pip_index", lambda: None)
    monkeypatch.setattr(init, "npm_registry", lambda: None)
    terminal(secrets=("own words", "own words", TOKEN))
    file = checkout.root / "Pulumi.lab.yaml"
    before = file.read_text()
    assert checkout.lab("init", "lab") == 0
    assert added(before, file.read_text()) == (
        "  datalab:proxmoxApiToken:\n"
        "    secure: v1:nonce:cipher\n"
        "encryptionsalt: v1:salt:v1:proof\n"
    )
    calls = [call for call in checkout.calls if "proxmoxApiToken" in call["line"]]
    assert [(call["line"], call["stdin"]) for call in calls] == [
        ("config set --secret datalab:proxmoxApiToken -s lab --non-interactive", TOKEN)
    ]
    assert {call["env"]["PULUMI_CONFIG_PASSPHRASE"] for call in checkout.calls} == {"own words"}
    assert not [call for call in checkout.calls if TOKEN in call["line"]]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (("one", "another"), 1),
        (("dev", "dev"), 2),
        (("own words", "own words", "secret-without-a-user"), 2),
    ],
    ids=["passphrases-differ", "published-passphrase", "no-token"],
)
def test_wrong_answers_are_refused_and_not_repeated(
    checkout: Checkout,
    terminal: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    answers: tuple[str, ...],
    code: int,
) -> None:
    terminal(secrets=answers)
    before = files(checkout)
    assert checkout.lab("init", "lab") == code
    assert checkout.calls == []
    assert files(checkout) == before
    assert "secret-without-a-user" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "given", ["", "secret-without-a-user\n"], ids=["no-token", "no-such-token"]
)
@pytest.mark.parametrize("passphrase", ["", "own words"])
def test_without_a_terminal_nothing_is_half_done(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, passphrase: str, given: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    monkeypatch.setattr("cli.lib.ask.os.isatty", lambda _: False)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", passphrase)
    before = files(checkout)
    assert checkout.lab("init", "lab") == 2
    assert checkout.calls == []
    assert files(checkout) == before


@pytest.mark.parametrize("refused", ["stack init lab ", "config set"])
def test_what_pulumi_refuses_changes_nothing(
    checkout: Checkout, terminal: Callable[..., None], refused: str
) -> None:
    terminal("y", secrets=("own words", "own words", TOKEN))
    checkout.fail_at(refused)
    before = (checkout.root / "Pulumi.lab.yaml").read_bytes()
    assert checkout.lab("init", "lab") == 255
    assert (checkout.root / "Pulumi.lab.yaml").read_bytes() == before
    assert not [line for line in checkout.lines if line.startswith("stack init lab-")]


def test_an_index_that_is_no_upstream_is_a_fault_before_anything_is_made(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(init, "pip_index", lambda: "file:///packages/simple")
    before = files(checkout)
    assert checkout.lab("init", "dev", "--indexes") == 2
    assert "datalab:foundation.cache.upstreams.pypi.url" in capsys.readouterr().err
    assert checkout.calls == []
    assert files(checkout) == before


def test_a_token_that_is_there_is_not_asked_for(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "own words")
    file = checkout.root / "Pulumi.lab.yaml"
    key = "  datalab:proxmoxApiToken:\n    secure: v1:AAAA:BBBB\n"
    file.write_text(file.read_text().replace("config:\n", f"config:\n{key}", 1))
    assert checkout.lab("init", "lab") == 0
    assert not [call for call in checkout.calls if "proxmoxApiToken" in call["line"]]


@pytest.mark.slow
def test_pip_index_is_what_pip_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    default = init.pip_index()
    assert default
    assert default.startswith("https://")
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mine.example/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert init.pip_index() == "https://mine.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example/simple")
    assert init.pip_index() == "https://env.example/simple"
