"""The steps that other projects include, in the smallest shells there are."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.pipelines import ROOT
from tests.provision.lab import Lab

pytestmark = pytest.mark.service

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "-eo", "pipefail"]}


class Loader(yaml.SafeLoader):
    """YAML with GitLab's !reference."""


Loader.add_constructor("!reference", lambda loader, node: None)


def steps(kind: str) -> str:
    """The before_script of .ci/provision/KIND.yml with what it refers to."""
    folder = ROOT / ".ci" / "provision"

    def last(name: str) -> Any:
        # S506: Loader is a SafeLoader with one more tag.
        return list(yaml.load_all((folder / name).read_text(), Loader))[-1]

    shared: list[str] = last("vault.yml")[".datalab-vault"]["script"]
    own = last(f"{kind}.yml")[".$[[ inputs.name ]]"]["before_script"]
    return "\n".join([*shared, *filter(None, own)])


def run(servers: Lab, shell: str, kind: str, more: str, **variables: str) -> tuple[int, str]:
    program = shutil.which(SHELLS[shell][0])
    assert program, f"{shell}: apt-get install {shell} (tests/packages.txt)"
    environment = servers.environment(42)
    environment["DATALAB_VAULT_ADDR"] = environment.pop("VAULT_ADDR")
    done = subprocess.run(
        [*SHELLS[shell], "-c", f"{steps(kind)}\n{more}"],
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_database(servers: Lab, shell: str, mode: str) -> None:
    assert (
        servers.run(*servers.ask(42, "postgres", database="shells", user="shells", mode=mode))[0]
        == 0
    )
    code, output = run(
        servers,
        shell,
        "postgres",
        'echo "$DB_HOST $DB_PORT $DB_NAME $DB_USER $DB_PASS"; env | grep -c ^datalab_ || true',
        DATALAB_DATABASE="shells",
        DATALAB_MODE=mode,
    )
    assert code == 0, output
    host, port, name, user, password, left = output.split()
    assert (host, port, name, left) == ("127.0.0.1", str(servers.postgres.port), "shells", "0")
    with servers.postgres.connect(name, user, password) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (a int)")


@pytest.mark.parametrize("shell", SHELLS)
def test_model(servers: Lab, shell: str) -> None:
    assert servers.run(*servers.ask(42, "ollama", model="library/tiny"))[0] == 0
    code, output = run(
        servers,
        shell,
        "ollama",
        'echo "$OLLAMA_HOST $OLLAMA_MODEL"',
        DATALAB_MODEL="library/tiny",
    )
    # By the name that Ollama lists it under.
    assert (code, output) == (0, f"{servers.ollama.url} tiny:latest\n")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("fault", ["record", "token", "vault"])
def test_what_is_missing_ends_the_job(servers: Lab, shell: str, fault: str) -> None:
    variables = {"DATALAB_DATABASE": "missing", "DATALAB_MODE": "static"}
    if fault == "token":
        variables["VAULT_ID_TOKEN"] = "eyJ.not.ours"
    if fault == "vault":
        variables["DATALAB_VAULT_ADDR"] = "http://127.0.0.1:9"
    code, output = run(servers, shell, "postgres", "echo went on", **variables)
    assert code != 0
    assert "datalab: no record postgres/missing for this project" in output
    assert "went on" not in output


@pytest.mark.parametrize("kind", ["postgres", "kafka", "ollama"])
def test_shellcheck(kind: str) -> None:
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "--exclude=SC2015,SC2153", "-"],
        input=steps(kind),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{Path(shutil.which('shellcheck') or '').parent}:{ROOT}/.venv/bin:/usr/bin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
