"""Where the state lives, and who may reach it."""

import json
import os
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.lib import backend
from cli.lib.fault import Fault, SettingsFault
from tests.cli.conftest import Checkout


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_s3_url(scheme: str, slash: str) -> None:
    url = backend.s3_url(f"{scheme}://store.lab.home.arpa:9000{slash}", "eu-west-1")
    assert urlsplit(url).scheme == "s3"
    assert urlsplit(url).netloc == "pulumi-state"
    assert parse_qs(urlsplit(url).query) == {
        "endpoint": [f"{scheme}://store.lab.home.arpa:9000"],
        "region": ["eu-west-1"],
        "s3ForcePathStyle": ["true"],
        "request_checksum_calculation": ["when_required"],
    }


def test_s3_url_quotes_what_it_is_given() -> None:
    url = backend.s3_url("https://[fd00::1]:9000", "a&b=c")
    assert parse_qs(urlsplit(url).query)["region"] == ["a&b=c"]


def test_s3_url_needs_a_scheme() -> None:
    with pytest.raises(ValueError, match="https://HOST:PORT"):
        backend.s3_url("store.lab:9000", "eu-west-1")


def test_links_of_the_repository_are_right() -> None:
    assert [fault for env in ("dev", "lab") for fault in backend.link_faults(env)] == []


@pytest.mark.parametrize("kind", ["missing", "file", "elsewhere", "dangling"])
def test_wrong_link_stops_before_the_engine(
    checkout: Checkout, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    link = checkout.root / "stacks/Pulumi.dev-platform.yaml"
    link.unlink()
    if kind == "file":
        link.write_text("encryptionsalt: v1:x\n")
    elif kind == "elsewhere":
        link.symlink_to("../Pulumi.lab.yaml")
    elif kind == "dangling":
        link.symlink_to("../../Pulumi.dev.yaml")
    assert checkout.lab("up", "dev", "--yes") == 2
    assert "ln -sfn ../Pulumi.dev.yaml stacks/Pulumi.dev-platform.yaml" in capsys.readouterr().err
    assert checkout.calls == []


def test_every_settings_fault_at_once_before_the_engine(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    file = checkout.root / "Pulumi.dev.yaml"
    text = file.read_text()
    file.write_text(text.replace("port: 9000", "port: 0").replace("port: 8200", "port: high"))
    for words in (["check", "dev"], ["up", "dev"], ["env", "dev"], ["budget", "dev"]):
        # `env` prints what it can: else `eval` would leave the shell as it was, unnoticed.
        assert checkout.lab(*words) == (0 if words[0] == "env" else 2)
        said = capsys.readouterr().err
        assert "Pulumi.dev.yaml: datalab:foundation.object_store.port: " in said
        assert "Pulumi.dev.yaml: datalab:foundation.vault.port: " in said
        assert "Traceback" not in said
    assert checkout.calls == []


def test_another_environments_shell_is_refused(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", backend.url("dev"))
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of the lab")
    assert checkout.lab("up", "lab") == 2
    assert "./lab env lab" in capsys.readouterr().err
    assert checkout.lab("down", "dev") == 0


def test_dev_needs_no_passphrase_and_lab_needs_its_own(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backend.passphrase("dev", "docker") == {"PULUMI_CONFIG_PASSPHRASE": "dev"}
    with pytest.raises(Fault, match="PULUMI_CONFIG_PASSPHRASE_FILE"):
        backend.passphrase("lab", "proxmox")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "dev")  # left by `eval "$(./lab env dev)"`
    with pytest.raises(Fault, match="not set"):
        backend.passphrase("lab", "proxmox")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(checkout.root / "nothing"))
    with pytest.raises(Fault, match="cannot read"):
        backend.passphrase("lab", "proxmox")


def test_env_is_what_a_shell_can_evaluate(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/left/over")
    assert checkout.lab("env", "dev") == 0
    script = capsys.readouterr().out
    answer = subprocess.run(
        ["sh", "-c", f"{script}\nexec env"],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    got = dict(line.partition("=")[::2] for line in answer.stdout.splitlines())
    assert got["PULUMI_BACKEND_URL"] == backend.url("dev")
    assert "check%20out/.state/dev" in got["PULUMI_BACKEND_URL"]
    assert got["PULUMI_CONFIG_PASSPHRASE"] == "dev"
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in got
    assert got["PATH"].split(os.pathsep).index(str(checkout.fake)) < 3
    assert got["PULUMI_HOME"].startswith(os.environ["XDG_CACHE_HOME"])
    assert checkout.lab("env", "dev", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["PULUMI_CONFIG_PASSPHRASE_FILE"] is None
    assert {name: value for name, value in told.items() if value is not None}.items() <= got.items()


def test_env_never_prints_the_operators_passphrase(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "planted-passphrase")
    assert checkout.lab("env", "lab") == 0
    assert "planted-passphrase" not in "".join(capsys.readouterr())


def test_pulumi_home_of_the_user_stays(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_HOME", "/their/own")
    checkout.lab("env", "dev")
    assert "export PULUMI_HOME=/their/own" in capsys.readouterr().out


def test_faults_are_settings_faults(checkout: Checkout) -> None:
    (checkout.root / "Pulumi.dev.yaml").write_text("nothing: here\n")
    with pytest.raises(SettingsFault, match=r"^Pulumi\.dev\.yaml: "):
        backend.settings_of("dev")


def test_the_shells_docker_engine_is_devs_and_never_the_labs(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A context in the shell put the lab's containers on the laptop's engine."""
    mine = {name: f"mine-{name}" for name in (*backend.DOCKER_ENGINE, backend.DOCKER_CONTEXT)}
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    kept = {n: v for n, v in mine.items() if n != backend.DOCKER_CONTEXT}
    for env, place, expected in (("dev", "docker", kept), ("lab", "proxmox", {})):
        given = backend.variables(env, place, {})
        assert {n: v for n, v in given.items() if n in mine} == expected
        assert checkout.lab("env", env) == 0
        unset = {line for line in capsys.readouterr().out.splitlines() if line.startswith("unset")}
        assert {f"unset {name}" for name in mine.keys() - expected.keys()} <= unset
        assert not {f"unset {name}" for name in expected} & unset


def test_what_the_shell_has_for_other_servers_is_kept_from_the_providers(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """VAULT_SKIP_VERIFY=1 in the shell, and the lab's own CA was no longer asked for."""
    others = (
        *("VAULT_SKIP_VERIFY", "VAULT_NAMESPACE", "PROXMOX_VE_INSECURE", "GITLAB_TOKEN"),
        *("MINIO_ENABLE_HTTPS", "PGSSLMODE", "TERRAFORM_VAULT_MAX_TTL"),
    )
    for name in others:
        monkeypatch.setenv(name, "planted")
    for env, place in (("dev", "docker"), ("lab", "proxmox")):
        assert "planted" not in backend.variables(env, place, {}).values()
        assert checkout.lab("env", env) == 0
        assert {f"unset {name}" for name in others} <= set(capsys.readouterr().out.splitlines())
