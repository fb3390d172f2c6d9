"""The steps that other projects include, in the smallest images there are, and what they say."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.certificates import Authority
from tests.harness.pipelines import ROOT
from tests.harness.process import clean_environment
from tests.harness.vault_answers import TOKEN, Server, serving
from tests.harness.vault_api import openbao
from tests.provision.lab import Lab

pytestmark = pytest.mark.service

BUSYBOX = "/usr/bin/busybox"
# What the steps call besides curl or wget; all of it is in busybox.
TOOLS = ("cat", "env", "grep", "mktemp", "rm", "sleep", "tail", "timeout")
DATABASE = {"DATALAB_DATABASE": "missing", "DATALAB_MODE": "static"}


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


Image = Callable[..., tuple[int, str]]


def image(command: list[str], path: str, arguments: Path) -> Image:
    """Runs KIND's steps and then `more` as a job of that image does."""

    def run(
        kind: str, more: str, variables: Mapping[str, str], patience: str = ":"
    ) -> tuple[int, str]:
        arguments.write_text("")
        done = subprocess.run(
            # Without its seconds of patience a job fails as it does with them.
            [*command, f"sleep() {{ {patience}; }}\n{steps(kind)}\n{more}"],
            env={**variables, "PATH": path, "CI_PROJECT_ID": "42"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return run


def folder_of(place: Path, arguments: Path, *programs: str) -> str:
    """A PATH with these programs only; curl and wget write their arguments down."""
    place.mkdir()
    for name in programs:
        found = shutil.which(name)
        assert found, f"{name}: apt-get install it (tests/packages.txt)"
        if name in ("curl", "wget"):
            script = f'#!/bin/sh\necho "$@" >>{arguments}\nexec {found} "$@"\n'
            (place / name).write_text(script)
            (place / name).chmod(0o755)
        else:
            (place / name).symlink_to(found)
    return str(place)


def alpine(root: Path) -> list[str]:
    """A root as bare as Alpine's: busybox and nothing else. The command for its shell.

    Debian's busybox needs no libraries in its package busybox-static only.
    """
    for name in ("bin", "dev", "tmp"):
        (root / name).mkdir(parents=True)
    (root / "dev" / "null").touch()  # a file, as only root can make the device
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    for name in ("sh", "wget", *TOOLS):
        (root / "bin" / name).symlink_to("busybox")
    inside = ["/usr/sbin/chroot", str(root), "/bin/sh", "-ec"]
    return inside if os.geteuid() == 0 else ["/usr/bin/unshare", "--map-root-user", *inside]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Debian's with curl, in two shells; one with GNU's wget; one with busybox only."""
    folder = tmp_path_factory.mktemp("images")
    arguments = folder / "arguments"
    curl = folder_of(folder / "curl", arguments, "curl", *TOOLS)
    wget = folder_of(folder / "wget", arguments, "wget", *TOOLS)
    none = folder_of(folder / "none", arguments, *TOOLS)
    return {
        "dash": image(["/bin/dash", "-ec"], curl, arguments),
        "bash": image(["/bin/bash", "-euo", "pipefail", "-c"], curl, arguments),
        "wget": image(["/bin/bash", "-eo", "pipefail", "-c"], wget, arguments),
        "busybox": image(alpine(folder / "alpine"), "/bin", arguments),
        "none": image(["/bin/sh", "-ec"], none, arguments),
    }


ENOUGH = ("dash", "bash", "wget", "busybox")


def job(address: str, **variables: str) -> dict[str, str]:
    """The variables of a job that asks for a database."""
    return {**DATABASE, "DATALAB_VAULT_ADDR": address, "VAULT_ID_TOKEN": "eyJ.of.test", **variables}


def of(servers: Lab, **variables: str) -> dict[str, str]:
    """The variables of a job of project 42 in the lab."""
    return {
        "DATALAB_VAULT_ADDR": servers.bao.address,
        "VAULT_ID_TOKEN": servers.gitlab.id_token(42),
        **variables,
    }


@pytest.mark.parametrize("name", ENOUGH)
@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_database(servers: Lab, images: dict[str, Image], name: str, mode: str) -> None:
    words = servers.ask(42, "postgres", database="shells", user="shells", mode=mode)
    assert servers.run(*words)[0] == 0
    code, output = images[name](
        "postgres",
        'echo "$DB_HOST $DB_PORT $DB_NAME $DB_USER $DB_PASS"; env | grep -c ^datalab_ || true',
        of(servers, DATALAB_DATABASE="shells", DATALAB_MODE=mode),
    )
    assert code == 0, output
    host, port, database, user, password, left = output.split()
    assert (host, port, database) == ("127.0.0.1", str(servers.postgres.port), "shells")
    assert left == "0"
    with servers.postgres.connect(database, user, password) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (a int)")


@pytest.mark.parametrize("given", [("library/tiny", ""), ("", "library/tiny")])
@pytest.mark.parametrize("name", ENOUGH)
def test_model(servers: Lab, images: dict[str, Image], name: str, given: tuple[str, str]) -> None:
    assert servers.run(*servers.ask(42, "ollama", model="library/tiny"))[0] == 0
    code, output = images[name](
        "ollama",
        'echo "$OLLAMA_HOST $OLLAMA_MODEL"',
        of(servers, DATALAB_MODEL=given[0], DATALAB_PULL=given[1]),
    )
    # By the name that Ollama lists it under.
    assert (code, output) == (0, f"{servers.ollama.url} tiny:latest\n")


@pytest.mark.parametrize("name", ENOUGH)
def test_topic(servers: Lab, images: dict[str, Image], name: str) -> None:
    record = {"KAFKA_BOOTSTRAP_SERVERS": "b:9092", "KAFKA_TOPIC": "t", "KAFKA_GROUP": "g"}
    servers.write("projects/42/kafka/shells", record)
    more = 'echo "$KAFKA_BOOTSTRAP_SERVERS $KAFKA_TOPIC $KAFKA_GROUP"'
    code, output = images[name]("kafka", more, of(servers, DATALAB_TOPIC="shells"))
    assert (code, output) == (0, "b:9092 t g\n")


HTML = "<html><title>Welcome</title></html>"
REFUSED = '{"errors":["error validating token"]}'
REASONS: dict[str, tuple[dict[str, tuple[int, str]], str]] = {
    "sealed": ({"login": (503, '{"errors":["Vault is sealed"]}')}, "is sealed (503), so nobody's"),
    "sealed between": ({"read": (503, "")}, "who administers the lab can unseal it"),
    "refused": ({"login": (400, REFUSED)}, "refuses this job at auth/jwt-gitlab/login (400)"),
    "refused for good": (
        {"login": (403, REFUSED)},
        "refuses this job at auth/jwt-gitlab/login (403)",
    ),
    "forbidden": (
        {"read": (403, REFUSED)},
        "refuses this job at kv/data/projects/42/postgres/missing (403)",
    ),
    "bad gateway": ({"login": (502, HTML)}, "answers 502"),
    "gateway's patience": ({"read": (504, HTML)}, "Vault is away: what stands before it"),
    "no record": (
        {"read": (404, "{}")},
        "no record postgres/missing for this project; did the job that",
    ),
    "no login": ({"login": (404, REFUSED)}, "knows no login for GitLab's jobs (404)"),
    "page": ({"login": (200, HTML)}, "is not Vault, but a page"),
    "page later": ({"read": (200, HTML)}, "is not Vault, but a page"),
    "busy": ({"read": (429, "")}, "Vault answers 429"),
    "broken": ({"read": (500, '{"errors":["1 error occurred"]}')}, "answers 500 at kv/data"),
}


@pytest.mark.parametrize("name", ENOUGH)
@pytest.mark.parametrize("fault", REASONS)
def test_the_true_reason_is_told(images: dict[str, Image], name: str, fault: str) -> None:
    answers, words = REASONS[fault]
    with serving() as server:
        server.answers = answers
        code, output = images[name]("postgres", "echo went on", job(server.address))
        assert code == 1
        assert words in output
        assert "went on" not in output
        assert ("no record" in output) == (fault == "no record")
        assert TOKEN not in output
        transient = any(status in (429, 502, 503, 504) for status, _ in answers.values())
        asked = [line for line in server.seen if ("login" in answers) == ("/login " in line)]
        assert len([line for line in asked if "sys/health" not in line]) == (5 if transient else 1)


@pytest.mark.parametrize("name", ENOUGH)
def test_a_lab_that_is_away_is_waited_for(images: dict[str, Image], name: str) -> None:
    address = "http://127.0.0.1:9"
    code, output = images[name]("postgres", "echo went on", job(address), 'echo "slept $1"')
    assert code == 1
    assert f"Vault at {address} cannot be reached: " in output
    reason = output.partition("cannot be reached: ")[2]  # in the client's words
    assert ("refused" in reason) or ("Couldn't connect" in reason)
    assert [line for line in output.splitlines() if "slept" in line] == [
        f"slept {seconds}" for seconds in (1, 2, 4, 8, 0)
    ]
    assert "no record" not in output


@pytest.mark.parametrize("name", ENOUGH)
def test_a_real_vault_that_is_sealed(images: dict[str, Image], name: str, sealed: str) -> None:
    code, output = images[name]("kafka", "echo went on", job(sealed, DATALAB_TOPIC="t"))
    assert (code, "is sealed (503)" in output, "went on" in output) == (1, True, False), output


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with openbao(tmp_path_factory.mktemp("sealed")) as server:
        server.client().write_data("sys/seal", data={})
        yield server.address


@pytest.mark.parametrize("variable", ["DATALAB_VAULT_ADDR", "VAULT_ID_TOKEN"])
def test_a_variable_that_the_job_lost_is_named(images: dict[str, Image], variable: str) -> None:
    code, output = images["dash"]("postgres", "", job("http://127.0.0.1:9", **{variable: ""}))
    assert (code, output.startswith(f"datalab: {variable} is empty; ")) == (1, True), output


def test_an_image_without_any_client_is_told_so(images: dict[str, Image]) -> None:
    code, output = images["none"]("postgres", "echo went on", job("http://127.0.0.1:9"))
    assert (code, output.splitlines()[0]) == (1, "datalab: this image has neither curl nor wget")


@pytest.mark.parametrize("name", ENOUGH)
def test_no_secret_is_an_argument_but_for_busybox(
    images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    with serving() as server:
        code, output = images[name]("postgres", 'echo "$DB_PASS"', job(server.address))
        assert (code, output) == (0, "of-the-test\n")
        assert server.seen[-1].endswith(TOKEN)
    arguments = next(tmp_path_factory.getbasetemp().glob("images*/arguments")).read_text()
    assert bool(arguments) == (name != "busybox")
    assert TOKEN not in arguments
    assert "eyJ" not in arguments


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def secure(authority: Authority, tmp_path: Path) -> Iterator[Server]:
    pair = authority.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "pair").write_text(pair.certificate + pair.key)
    context.load_cert_chain(tmp_path / "pair")
    with serving(context) as server:
        yield server


@pytest.mark.parametrize("name", ["dash", "wget", "openssl"])
def test_only_the_labs_own_vault_is_spoken_to(
    images: dict[str, Image], secure: Server, authority: Authority, tmp_path: Path, name: str
) -> None:
    """openssl: busybox's wget that leaves TLS to it, and so to SSL_CERT_FILE, as Alpine's does.

    Alpine's ssl_client (aports, main/busybox/ssl_client.c) is LibreTLS with its defaults, which are
    OpenSSL's.
    """
    if name == "openssl":
        place = tmp_path / "openssl"
        folder_of(place, tmp_path / "arguments", "openssl", *TOOLS)
        (place / "wget").symlink_to(BUSYBOX)
        run = image([BUSYBOX, "sh", "-ec"], str(place), tmp_path / "arguments")
    else:
        run = images[name]
    for trusted, made in ((authority, True), (Authority(), False)):
        (tmp_path / "ca.pem").write_text(trusted.pem)
        secure.seen.clear()
        variables = job(secure.address, DATALAB_CA_FILE=str(tmp_path / "ca.pem"))
        code, output = run("postgres", 'echo "$DB_PASS"', variables)
        assert (code == 0, output == "of-the-test\n") == (made, made), output
        assert bool(secure.seen) == made
    assert "cannot be reached" in output


def test_a_client_that_trusts_everybody_is_told_no_secret(
    images: dict[str, Image], secure: Server
) -> None:
    address = secure.address.replace("localhost", "127.0.0.1")  # no files to look a name up in
    code, output = images["busybox"]("postgres", "echo went on", job(address))
    assert code == 1
    assert "wget checks no certificates" in output
    assert set(secure.seen) <= {"/v1/sys/health None"}


@pytest.mark.parametrize("kind", ["postgres", "kafka", "ollama"])
def test_shellcheck(kind: str) -> None:
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "--exclude=SC2015,SC2153", "-"],
        input=steps(kind),
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(PATH=f"{ROOT}/.venv/bin:/usr/bin"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
